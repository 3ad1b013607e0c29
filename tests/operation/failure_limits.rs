//! Limits on failed attempts: after too many, a pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zmq_auth::{Authenticator, Error, EventKind, Handshake, SocketExt, Verdict};

use crate::harness::barrier::Barrier;
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{password, stranger};
use crate::harness::sockets::{Client, Server};
use crate::harness::zap::{self, Asker};
use crate::harness::{DEADLINE, domain};

behaviours! {
    after_too_many_failures_even_the_right_password_is_refused_with_300,
    guesses_at_the_same_time_get_no_more_tries_than_one_after_another,
    other_mechanisms_and_domains_of_a_paused_address_are_not_paused,
}

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

fn guesses_at_the_same_time_get_no_more_tries_than_one_after_another(front_end: FrontEnd) {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("guesses"));
    let (tried, (barrier, _open)) = (Arc::new(AtomicUsize::new(0)), Barrier::new());
    let (count, inside) = (tried.clone(), barrier.clone());
    auth.configure_plain_callback(&domain, move |_, password, _| {
        count.fetch_add(1, Ordering::Relaxed);
        inside.wait();
        // The last guess is right.
        password == "guess-63"
    })
    .unwrap();
    auth.limit_failures(3, MINUTE, MINUTE).unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    for guess in 0..64 {
        let guess = format!("guess-{guess}");
        asker.ask(&zap::request(&domain, "192.0.2.7", "PLAIN", &[b"alice", guess.as_bytes()]));
    }
    // All but three are decided at once.
    let mut statuses: Vec<u16> = (0..61).map(|_| zap::status_of(&asker.reply())).collect();
    barrier.open();
    statuses.extend((0..3).map(|_| zap::status_of(&asker.reply())));
    assert_eq!((tried.load(Ordering::Relaxed), statuses.iter().filter(|&&status| status == 300).count()), (3, 61));
    assert!(!statuses.contains(&200));
}

fn other_mechanisms_and_domains_of_a_paused_address_are_not_paused(front_end: FrontEnd) {
    let (context, auth, domain, other) =
        (zmq::Context::new(), Authenticator::new(), domain("behind-nat"), domain("behind-nat"));
    let (right, key) = (password("right"), stranger());
    for domain in [&domain, &other] {
        auth.configure_plain(domain, [("alice", right.as_str())]).unwrap();
        auth.configure_curve_keys(domain, [key]).unwrap();
    }
    auth.limit_failures(1, MINUTE, MINUTE).unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    let status = |domain: &str, mechanism: &str, credentials: &[&[u8]]| {
        asker.ask(&zap::request(domain, "192.0.2.7", mechanism, credentials));
        zap::status_of(&asker.reply())
    };
    assert_eq!(status(&domain, "PLAIN", &[b"mallory", b"wrong"]), 400);
    assert_eq!(status(&domain, "PLAIN", &[b"alice", right.as_bytes()]), 300);
    assert_eq!(status(&domain, "CURVE", &[key.as_bytes()]), 200);
    assert_eq!(status(&domain, "NULL", &[]), 200);
    assert_eq!(status(&other, "PLAIN", &[b"alice", right.as_bytes()]), 200);
}

/// An LDAP-like callback that returns `Err` for a wrong password.
#[test]
fn a_callback_that_fails_counts_as_a_failure_and_one_that_asks_for_another_try_does_not() {
    let auth = Authenticator::new();
    auth.configure_plain_callback("d", |user, password, _| match (user, password) {
        ("alice", "right") => Ok(Verdict::Allow),
        ("down", _) => Ok(Verdict::Retry),
        _ => Err("bind failed"),
    })
    .unwrap();
    auth.limit_failures(3, MINUTE, MINUTE).unwrap();
    for _ in 0..10 {
        assert_eq!(ask(&auth, "10.0.0.7", "down", "x"), "300");
    }
    for _ in 0..3 {
        assert_eq!(ask(&auth, "10.0.0.8", "alice", "wrong"), "500");
    }
    assert_eq!(ask(&auth, "10.0.1.9", "alice", "right"), "300");
    assert_eq!(auth.counters().faults, 3);
}

#[test]
fn an_explanation_takes_no_attempt() {
    let auth = Authenticator::new();
    auth.configure_plain("d", [("alice", password("right"))]).unwrap();
    auth.limit_failures(1, MINUTE, MINUTE).unwrap();
    let frames = ["1.0", "1", "d", "10.0.0.7", "", "PLAIN", "alice", "wrong"];
    for _ in 0..10 {
        assert_eq!(auth.explain(&frames).unwrap().status, Some(400));
    }
    assert_eq!(ask(&auth, "10.0.0.7", "alice", "wrong"), "400");
    assert_eq!(auth.explain(&frames).unwrap().status, Some(300));
}
