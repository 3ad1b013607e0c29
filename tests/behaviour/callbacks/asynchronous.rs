//! Async callbacks: their arguments, their verdicts, and their failures.

use std::panic::panic_any;
use std::sync::mpsc;
use std::time::Duration;

use zmq_auth::{Authenticator, Handshake, Metadata, Password, Verdict};

use super::PanicsOnDrop;
use crate::harness::front_end::{FrontEnd, async_behaviours};
use crate::harness::sockets::{Client, Server};
use crate::harness::zap::{self, Asker, ask, question};
use crate::harness::{DEADLINE, domain, log};

async_behaviours!(
    plain_clients_are_decided,
    curve_clients_are_decided,
    every_verdict_has_its_reply,
    failures_are_faults_of_one_client,
    a_future_that_panics_when_it_is_cancelled,
    a_callback_may_change_the_policy,
    text_that_is_not_utf8_never_reaches_a_callback,
);

fn plain_clients_are_decided(front_end: FrontEnd) {
    let (domain, right, wrong) = (domain("shop"), log::password("right"), log::password("wrong"));
    let authenticator = Authenticator::new();
    let (expected_domain, expected) = (domain.clone(), Password::from(right.as_str()));
    authenticator
        .configure_plain_callback_async(&domain, move |user, password, peer| {
            let right = user == "alice" && password == expected;
            let known = peer.domain() == expected_domain && peer.ip().is_some_and(|ip| ip.is_loopback());
            async move {
                tokio::task::yield_now().await;
                if known { Ok(right) } else { Err("the peer isn't the one that it is") }
            }
        })
        .unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);
    let server = Server::new(&context, |socket| zmq_auth::SocketExt::plain_server(socket, &domain));

    let mut alice = Client::plain(&context, server.endpoint(), "alice", &right);
    assert_eq!(alice.round_trip(&server).user_id(), Some("alice"));
    Client::plain(&context, server.endpoint(), "alice", &wrong).expect_denied();
    Client::plain(&context, server.endpoint(), "mallory", &right).expect_denied();
    server.assert_nothing_received();
}

fn curve_clients_are_decided(front_end: FrontEnd) {
    let domain = domain("lab");
    let (server_keys, alice, mallory) = (log::keys(), log::keys(), log::keys());
    let authenticator = Authenticator::new();
    let known = alice.public;
    authenticator
        .configure_curve_callback_async(&domain, move |key, peer| async move {
            tokio::task::yield_now().await;
            key == known && peer.address() == "127.0.0.1"
        })
        .unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);
    let server = Server::new(&context, |socket| zmq_auth::SocketExt::curve_server(socket, &server_keys, &domain));

    let key = alice.public.to_string();
    let visit = |keys| Client::curve(&context, server.endpoint(), keys, &server_keys.public);
    assert_eq!(visit(&alice).round_trip(&server).user_id(), Some(key.as_str()));
    visit(&mallory).expect_denied();
    server.assert_nothing_received();
    authenticator.curve_user_id(|_| "Alice herself".into());
    assert_eq!(visit(&alice).round_trip(&server).user_id(), Some("Alice herself"));
    authenticator.curve_user_id(|_| panic!("as the test wants"));
    visit(&alice).expect(Handshake::Denied(500));
    server.assert_nothing_received();
}

fn every_verdict_has_its_reply(front_end: FrontEnd) {
    let domain = domain("verdicts");
    let authenticator = Authenticator::new();
    authenticator
        .configure_plain_callback_async(&domain, |user, _, _| async move {
            match user.as_str() {
                "allow" => Verdict::Allow,
                "allow as" => {
                    let mut metadata = Metadata::default();
                    metadata.insert("role", "admin").unwrap();
                    Verdict::AllowAs { user_id: "somebody else".into(), metadata }
                }
                "retry" => Verdict::Retry,
                "fault" => Verdict::Fault("no idea".into()),
                _ => Verdict::Deny("not you".into()),
            }
        })
        .unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);
    let asker = Asker::connect(&context);

    for (user, code, text, user_id, metadata) in [
        ("allow", "200", "OK", "allow", &b""[..]),
        ("allow as", "200", "OK", "somebody else", b"\x04role\x00\x00\x00\x05admin"),
        ("retry", "300", "", "", b""),
        ("fault", "500", "no idea", "", b""),
        ("deny", "400", "not you", "", b""),
    ] {
        asker.ask(&question(&domain, user));
        let reply = asker.reply();
        assert_eq!((&reply[1][..], &reply[2][..]), (user.as_bytes(), code.as_bytes()));
        assert!(String::from_utf8_lossy(&reply[3]).contains(text), "{user}: {:?}", String::from_utf8_lossy(&reply[3]));
        assert_eq!((&reply[4][..], &reply[5][..]), (user_id.as_bytes(), metadata), "{user}");
    }
}

fn failures_are_faults_of_one_client(front_end: FrontEnd) {
    let (domain, other) = (domain("failing"), domain("other"));
    let authenticator = Authenticator::new();
    authenticator.configure_plain_callback_async(&other, |_, _, _| async { true }).unwrap();
    authenticator
        .configure_plain_callback_async(&domain, |user, _, _| {
            assert_ne!(user, "panics before", "as the test wants");
            async move {
                match user.as_str() {
                    "panics at once" => panic!("as the test wants"),
                    "panics worse" => panic_any(PanicsOnDrop),
                    "panics later" => {
                        tokio::task::yield_now().await;
                        panic!("as the test wants")
                    }
                    "errs" => Err("no connection to the database"),
                    _ => Ok(true),
                }
            }
        })
        .unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);
    let asker = Asker::connect(&context);

    let failing = ["panics before", "panics at once", "panics worse", "panics later", "errs"];
    for (n, user) in (1..).zip(failing) {
        assert_eq!(ask(&asker, &domain, user), 500, "{user}");
        assert_eq!(ask(&asker, &domain, "alice"), 200, "after the one that {user}");
        assert_eq!(ask(&asker, &other, "alice"), 200, "after the one that {user}");
        assert_eq!((authenticator.counters().faults, authenticator.counters().allowed), (n, 2 * n));
    }
}

fn a_future_that_panics_when_it_is_cancelled(front_end: FrontEnd) {
    let domain = domain("cancelled");
    let authenticator = Authenticator::new();
    authenticator.limit_callbacks(64, Duration::from_millis(20)).unwrap();
    authenticator
        .configure_plain_callback_async(&domain, |user, _, _| async move {
            if user == "never" {
                let _panics = PanicsOnDrop;
                std::future::pending::<()>().await;
            }
            true
        })
        .unwrap();
    let context = zmq::Context::new();
    let running = front_end.start(&authenticator, &context);
    let asker = Asker::connect(&context);

    assert_eq!(ask(&asker, &domain, "never"), 300);
    authenticator.limit_callbacks(64, DEADLINE).unwrap();
    assert_eq!(ask(&asker, &domain, "alice"), 200);
    // And when the end of the handler cancels it.
    asker.ask(&question(&domain, "never"));
    assert_eq!(ask(&asker, &domain, "alice"), 200);
    running.stop().unwrap();
    authenticator.start(&context).unwrap().stop().unwrap();
}

fn a_callback_may_change_the_policy(front_end: FrontEnd) {
    let (domain, stranger) = (domain("changing"), log::stranger());
    let authenticator = Authenticator::new();
    let (policy, changed) = (authenticator.clone(), domain.clone());
    authenticator
        .configure_plain_callback_async(&domain, move |_, _, _| {
            let (policy, changed) = (policy.clone(), changed.clone());
            async move {
                policy.allow(["127.0.0.1"])?;
                policy.add_curve_key(&changed, stranger)?;
                // Replaces the running callback.
                policy.configure_plain_callback_async(&changed, |_, _, _| async { false })?;
                Ok::<_, zmq_auth::Error>(true)
            }
        })
        .unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);
    let asker = Asker::connect(&context);

    // Its own verdict no longer counts.
    assert_eq!(ask(&asker, &domain, "alice"), 300);
    assert_eq!(ask(&asker, &domain, "alice"), 400);
    assert_eq!(zap::curve(&authenticator, &domain, &stranger), 200);
    // Releases the policy, which otherwise holds itself through the callback.
    authenticator.remove_domain(&domain);
}

fn text_that_is_not_utf8_never_reaches_a_callback(front_end: FrontEnd) {
    let domain = domain("text");
    let (call, called) = mpsc::channel();
    let authenticator = Authenticator::new();
    authenticator
        .configure_plain_callback_async(&domain, move |user, _, _| {
            call.send(user).unwrap();
            async { true }
        })
        .unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);
    let asker = Asker::connect(&context);

    for credentials in [[&b"ali\xffce"[..], b"p"], [b"alice", b"\xc3"]] {
        asker.ask(&zap::request(&domain, "127.0.0.1", "PLAIN", &credentials));
        assert_eq!(zap::status_of(&asker.reply()), 400);
    }
    assert_eq!(ask(&asker, &domain, "alice"), 200);
    assert_eq!(called.try_iter().collect::<Vec<_>>(), ["alice"]);
}

#[test]
fn without_a_runtime_an_async_callback_is_a_fault() {
    let domain = domain("no runtime");
    let stranger = log::stranger();
    let authenticator = Authenticator::new();
    authenticator.configure_plain_callback_async(&domain, |_, _, _| async { true }).unwrap();
    authenticator.configure_curve_callback_async(&domain, |_, _| async { true }).unwrap();
    assert_eq!(zap::plain(&authenticator, &domain, b"alice", b"p"), 500);
    assert_eq!(zap::curve(&authenticator, &domain, &stranger), 500);

    let context = zmq::Context::new();
    let _running = FrontEnd::Thread.start(&authenticator, &context);
    let asker = Asker::connect(&context);
    assert_eq!(ask(&asker, &domain, "alice"), 500);
    asker.ask(&zap::request(&domain, "127.0.0.1", "CURVE", &[stranger.as_bytes()]));
    assert_eq!(zap::status_of(&asker.reply()), 500);
    assert_eq!(authenticator.counters().faults, 4);
}
