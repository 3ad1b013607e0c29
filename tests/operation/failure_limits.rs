//! Limits on failed attempts: after too many, a pause.

use std::time::Duration;

use zmq_auth::{Authenticator, Error, EventKind, Handshake, SocketExt};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::password;
use crate::harness::sockets::{Client, Server};
use crate::harness::{DEADLINE, domain};

behaviours!(after_too_many_failures_even_the_right_password_is_refused_with_300);

const MINUTE: Duration = Duration::from_secs(60);

fn after_too_many_failures_even_the_right_password_is_refused_with_300(front_end: FrontEnd) {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("attempts"));
    let (right, wrong) = (password("right"), password("wrong"));
    auth.configure_plain(&domain, [("alice", right.as_str())]).unwrap();
    auth.limit_failures(3, MINUTE, MINUTE).unwrap();
    let _running = front_end.start(&auth, &context);
    let mut server = Server::new(&context, |socket| socket.plain_server(&domain));
    Client::plain(&context, server.endpoint(), "alice", &right).expect(Handshake::Authenticated);
    server.expect(Handshake::Authenticated);
    for _ in 0..3 {
        Client::plain(&context, server.endpoint(), "alice", &wrong).expect_denied();
        server.expect(Handshake::Denied(400));
    }
    let mut late = Client::plain(&context, server.endpoint(), "alice", &right);
    server.expect(Handshake::Denied(300));
    late.assert_told_nothing();
    drop(late);
    assert_eq!(auth.counters().retried, 1);
    auth.unlimit_failures();
    Client::plain(&context, server.endpoint(), "alice", &right).expect(Handshake::Authenticated);
}

fn ask(auth: &Authenticator, address: &str, user: &str, password: &str) -> String {
    let frames = ["1.0", "1", "d", address, "", "PLAIN", user, password];
    String::from_utf8(auth.handle_zap_message(&frames).unwrap().swap_remove(2)).unwrap()
}

#[test]
fn there_is_no_limit_by_default() {
    let auth = Authenticator::new();
    auth.configure_plain("d", [("alice", password("right"))]).unwrap();
    for _ in 0..1000 {
        assert_eq!(ask(&auth, "10.0.0.7", "alice", &password("wrong")), "400");
    }
    assert_eq!(ask(&auth, "10.0.0.7", "alice", &password("right")), "200");
}

#[test]
fn each_wrong_answer_counts_for_address_and_user_and_a_denied_address_does_not() {
    let auth = Authenticator::new();
    let (right, wrong) = (password("right"), password("wrong"));
    auth.configure_plain("d", [("alice", right.as_str()), ("bob", right.as_str())]).unwrap();
    auth.limit_failures(3, MINUTE, MINUTE).unwrap();
    auth.deny(["10.9.9.9"]).unwrap();
    for _ in 0..10 {
        assert_eq!(ask(&auth, "10.9.9.9", "alice", &wrong), "400");
    }
    assert_eq!(ask(&auth, "10.0.0.1", "alice", &right), "200", "a refused address can't lock her out");
    for address in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        assert_eq!(ask(&auth, address, "alice", &wrong), "400");
    }
    assert_eq!(ask(&auth, "10.0.0.4", "alice", &right), "300", "the user is tried from everywhere");
    assert_eq!(ask(&auth, "10.0.0.1", "bob", &right), "200", "the address has failed once only");
}

#[test]
fn bad_limits_are_refused() {
    let auth = Authenticator::new();
    let day = Duration::from_secs(24 * 3600);
    for (attempts, window, pause) in [
        (0, MINUTE, MINUTE),
        (1, Duration::ZERO, MINUTE),
        (1, MINUTE, Duration::from_millis(999)),
        (1, day + MINUTE, MINUTE),
        (1, MINUTE, Duration::MAX),
    ] {
        assert!(matches!(auth.limit_failures(attempts, window, pause), Err(Error::Limit { .. })));
    }
    auth.limit_failures(u32::MAX, day, day).unwrap();
}

#[test]
fn the_event_names_the_pause() {
    let auth = Authenticator::new();
    auth.configure_plain("d", [("alice", password("right"))]).unwrap();
    auth.limit_failures(1, MINUTE, MINUTE).unwrap();
    let events = auth.events(10);
    ask(&auth, "10.0.0.7", "alice", &password("wrong"));
    ask(&auth, "10.0.0.7", "alice", &password("right"));
    assert_eq!(events.next_timeout(DEADLINE).unwrap().kind, EventKind::Denied);
    let event = events.next_timeout(DEADLINE).unwrap();
    assert_eq!((event.kind, event.reason.as_str()), (EventKind::Retry, "too many failed attempts"));
}
