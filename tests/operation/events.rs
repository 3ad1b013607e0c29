//! Events: what is published of each decision, of start and stop, and of requests that are dropped.

use std::time::{Duration, SystemTime};

use zmq_auth::{Authenticator, Event, EventKind, Events, SocketExt, Verdict};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{SENTINEL, keys, password};
use crate::harness::sockets::{Client, Server};
use crate::harness::{DEADLINE, domain};

behaviours!(
    every_decision_is_published_with_client_and_reason,
    start_and_stop_are_published,
    a_callback_that_fails_is_published,
);

fn next(events: &Events) -> Event {
    events.next_timeout(DEADLINE).expect("an event")
}

fn every_decision_is_published_with_client_and_reason(front_end: FrontEnd) {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("events"));
    let (server_keys, alice, mallory) = (keys(), keys(), keys());
    auth.configure_curve_keys(&domain, [alice.public]).unwrap();
    let _running = front_end.start(&auth, &context);
    let events = auth.events(100);
    let before = SystemTime::now();
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, &domain));
    Client::curve(&context, server.endpoint(), &alice, &server_keys.public).round_trip(&server);
    let event = next(&events);
    assert!(event.time >= before && event.time <= SystemTime::now());
    assert_eq!((event.kind, event.status, event.reason.as_str()), (EventKind::Allowed, Some(200), "OK"));
    assert_eq!((event.mechanism.as_str(), &event.domain, event.address.as_str()), ("CURVE", &domain, "127.0.0.1"));
    let name = Some(alice.public.to_string());
    assert_eq!((&event.client, &event.user_id), (&name, &name));

    Client::curve(&context, server.endpoint(), &mallory, &server_keys.public).expect_denied();
    let event = next(&events);
    assert_eq!((event.kind, event.status, event.reason.as_str()), (EventKind::Denied, Some(400), "unknown key"));
    assert_eq!((event.client, event.user_id), (Some(mallory.public.to_string()), None));
}

fn start_and_stop_are_published(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let events = auth.events(10);
    front_end.start(&auth, &context).stop().unwrap();
    assert_eq!(next(&events).kind, EventKind::Started);
    assert_eq!(next(&events).kind, EventKind::Stopped);
}

fn a_callback_that_fails_is_published(front_end: FrontEnd) {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("events"));
    auth.configure_plain_callback(&domain, |user, _, _| -> Verdict {
        match user {
            "late" => Verdict::Retry,
            "lost" => Verdict::Fault("the database is gone".into()),
            _ => panic!("a callback that panics, as it should here"),
        }
    })
    .unwrap();
    let _running = front_end.start(&auth, &context);
    let events = auth.events(10);
    let server = Server::new(&context, |socket| socket.plain_server(&domain));
    for (user, kind, reason) in [
        ("late", EventKind::Retry, "try again later"),
        ("lost", EventKind::CallbackFailed, "the database is gone"),
        ("panic", EventKind::CallbackFailed, "callback panicked"),
    ] {
        let _client = Client::plain(&context, server.endpoint(), user, &password(user));
        let event = next(&events);
        assert_eq!((event.kind, event.reason.as_str(), event.client.as_deref()), (kind, reason, Some(user)));
    }
}

#[test]
fn malformed_and_dropped_requests_are_published() {
    let auth = Authenticator::new();
    let events = auth.events(10);
    auth.handle_zap_message(&["1.0"]);
    auth.handle_zap_message(&["1.0", "1", "d"]);
    assert_eq!(next(&events).kind, EventKind::Dropped);
    assert_eq!(next(&events).kind, EventKind::Malformed);
}

#[test]
fn nothing_waits_for_a_full_stream_and_what_is_lost_is_counted() {
    let auth = Authenticator::new();
    let (slow, quick) = (auth.events(3), auth.events(1000));
    for _ in 0..100 {
        auth.handle_zap_message(&["1.0", "1", "d", "127.0.0.1", "", "NULL"]);
    }
    assert_eq!((slow.dropped(), quick.dropped()), (97, 0));
    assert_eq!(std::iter::from_fn(|| slow.try_next()).count(), 3);
    assert_eq!(std::iter::from_fn(|| quick.try_next()).count(), 100);
    auth.handle_zap_message(&["1.0", "1", "d", "127.0.0.1", "", "NULL"]);
    assert!(slow.try_next().is_some(), "there is room again");
}

#[test]
fn no_secret_is_in_an_event_and_text_is_escaped_where_it_is_written() {
    let auth = Authenticator::new();
    let secret = password("told");
    auth.configure_plain("d", [("alice", secret.as_str())]).unwrap();
    let events = auth.events(10);
    let long = "x".repeat(10_000);
    for (user, password) in
        [("alice", &secret), ("alice", &format!("{secret}!")), ("evil\nINFO", &secret), (&long, &secret)]
    {
        auth.handle_zap_message(&["1.0", "1", "d", "127.0.0.1", "", "PLAIN", user, password]);
    }
    let told: Vec<Event> = std::iter::from_fn(|| events.try_next()).collect();
    assert_eq!(told.len(), 4);
    assert!(told.iter().all(|event| !format!("{event:?}").contains(SENTINEL)));
    assert_eq!(told[2].client.as_deref(), Some("evil\nINFO"));
    assert!(told[2].to_string().contains("evil\\nINFO"), "{}", told[2]);
    assert!(told[3].client.as_ref().unwrap().len() <= 1024);
}

#[test]
fn a_stream_that_is_dropped_is_forgotten() {
    let auth = Authenticator::new();
    for _ in 0..1000 {
        drop(auth.events(10));
    }
    let events = auth.events(10);
    auth.handle_zap_message(&["1.0", "1", "d", "127.0.0.1", "", "NULL"]);
    assert!(events.next_timeout(Duration::ZERO).is_some());
}

/// Programs compare these fields, so they contain the text itself, not an escaped form.
#[test]
fn the_user_id_of_an_event_is_that_of_the_messages() {
    for user in ["O'Brien", "CORP\\alice", "josé", "a\"b"] {
        let auth = Authenticator::new();
        let secret = password("raw");
        auth.configure_plain("d", [(user, secret.as_str())]).unwrap();
        let events = auth.events(1);
        let reply = auth.handle_zap_message(&["1.0", "1", "d", "127.0.0.1", "", "PLAIN", user, &secret]).unwrap();
        let event = events.try_next().unwrap();
        assert_eq!((event.user_id.as_deref(), reply[4].as_slice()), (Some(user), user.as_bytes()));
        assert_eq!(event.client.as_deref(), Some(user));
    }
}
