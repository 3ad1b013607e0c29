//! Credentials that a program pushes: accepted at once, and not without contact.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::Duration;

use zmq_auth::{
    Authenticator, Error, Event, EventKind, Events, Metadata, Moment, OnStale, PushedCredentials, SocketExt, UserId,
};

use crate::files::key;
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{keys, wait_for};
use crate::harness::random::Random;
use crate::harness::sockets::{Client, Server, Transport};
use crate::harness::{DEADLINE, domain, wait_until, zap};

behaviours!(
    a_key_is_accepted_as_soon_as_it_is_pushed_and_refused_as_soon_as_it_is_removed,
    without_contact_a_handshake_is_told_to_retry,
    a_connected_client_is_judged_as_the_program_has_said,
);

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(100);

fn named(pairs: &[(&str, &str)]) -> Metadata {
    let mut metadata = Metadata::default();
    for (name, value) in pairs {
        metadata.insert(*name, *value).unwrap();
    }
    metadata
}

/// Credentials in contact, and the policy that uses them.
fn pushed() -> (PushedCredentials, Authenticator, String) {
    let (auth, domain) = (Authenticator::new(), domain("pushed"));
    let credentials = PushedCredentials::new(&domain);
    credentials.limit_age(LONG, OnStale::Refuse).unwrap();
    credentials.caught_up(Moment::now());
    auth.configure_curve_pushed(&domain, &credentials).unwrap();
    (credentials, auth, domain)
}

fn go_stale(credentials: &PushedCredentials, on_stale: OnStale) {
    credentials.limit_age(SHORT, on_stale).unwrap();
    wait_until("the contact is too old", || credentials.status().is_stale);
}

#[track_caller]
fn next(events: &Events, wanted: EventKind) -> Event {
    loop {
        let event = events.next_timeout(DEADLINE).unwrap_or_else(|| panic!("no event {wanted:?}"));
        if event.kind == wanted {
            return event;
        }
    }
}

fn a_key_is_accepted_as_soon_as_it_is_pushed_and_refused_as_soon_as_it_is_removed(front_end: FrontEnd) {
    let ((credentials, auth, domain), context) = (pushed(), zmq::Context::new());
    let (server_keys, alice) = (keys(), keys());
    let _running = front_end.start(&auth, &context);
    for transport in [Transport::Tcp, Transport::Ipc] {
        let set_up = |socket: &mut zmq::Socket| socket.curve_server(&server_keys, &domain);
        let server = Server::bind(&context, zmq::REP, transport, set_up);
        let connect = || Client::curve(&context, server.endpoint(), &alice, &server_keys.public);
        connect().expect_denied();
        credentials.put_key(alice.public, &named(&[("name", "Alice")])).unwrap();
        let received = connect().round_trip(&server);
        assert_eq!(received.sender().property("name"), Some("Alice"));
        assert!(credentials.remove_key(&alice.public) && !credentials.remove_key(&alice.public));
        connect().expect_denied();
    }
}

fn without_contact_a_handshake_is_told_to_retry(front_end: FrontEnd) {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("pushed"));
    let (server_keys, alice, events) = (keys(), keys(), auth.events(100));
    let credentials = PushedCredentials::new("the staff");
    auth.configure_curve_pushed(&domain, &credentials).unwrap();
    credentials.put_key(alice.public, &Metadata::default()).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, &domain));
    let connect = || Client::curve(&context, server.endpoint(), &alice, &server_keys.public);
    let expect_retry = || {
        let mut client = connect();
        let event = next(&events, EventKind::Retry);
        assert_eq!((event.status, event.client), (Some(300), Some(alice.public.to_string())));
        assert_eq!(event.reason, "no contact with the source of the credentials");
        client.assert_told_nothing();
    };
    assert_eq!(credentials.status().age, None);
    expect_retry();

    credentials.limit_age(LONG, OnStale::Refuse).unwrap();
    credentials.caught_up(Moment::now());
    connect().round_trip(&server);
    go_stale(&credentials, OnStale::Refuse);
    expect_retry();
    // Only where these credentials decide: an unknown key gets 300 too, NULL isn't affected.
    assert_eq!(zap::curve(&auth, &domain, &key(1)), 300);
    assert_eq!(zap::null(&auth, &domain, "127.0.0.1"), 200);

    credentials.limit_age(LONG, OnStale::Refuse).unwrap();
    credentials.caught_up(Moment::now());
    connect().round_trip(&server);
    assert_eq!(zap::curve(&auth, &domain, &key(1)), 400);
    server.assert_nothing_received();
}

fn a_connected_client_is_judged_as_the_program_has_said(front_end: FrontEnd) {
    let ((credentials, auth, domain), context) = (pushed(), zmq::Context::new());
    let (server_keys, alice) = (keys(), keys());
    auth.mark_clients().unwrap();
    credentials.put_key(alice.public, &Metadata::default()).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, &domain));
    let mut client = Client::curve(&context, server.endpoint(), &alice, &server_keys.public);
    let mut message = client.round_trip(&server).into_frames().pop().unwrap();
    assert!(auth.is_still_allowed(&mut message));
    go_stale(&credentials, OnStale::Refuse);
    assert!(!auth.is_still_allowed(&mut message));
    credentials.limit_age(SHORT, OnStale::KeepConnected).unwrap();
    assert!(auth.is_still_allowed(&mut message), "by what was pushed last");
    assert_eq!(zap::curve(&auth, &domain, &alice.public), 300, "a handshake is none the less told to retry");
    credentials.remove_key(&alice.public);
    assert!(!auth.is_still_allowed(&mut message), "removed is removed");
}

#[test]
fn changes_are_reported_by_the_log_events_status_and_explain() {
    let (auth, domain) = (Authenticator::new(), domain("told"));
    let (events, credentials) = (auth.events(100), PushedCredentials::new(format!("staff\n{domain}")));
    auth.configure_curve_pushed(&domain, &credentials).unwrap();
    let explain =
        || auth.explain(&zap::request(&domain, "10.0.0.1", "CURVE", &[key(1).as_bytes()])).unwrap().to_string();
    let rules =
        format!("(no address rule covers it; CURVE in domain \"{domain}\", by its own source: pushed credentials)");
    assert_eq!(explain(), format!("300: no contact with the source of the credentials {rules}"));
    let logged = |level: log::Level, text: &str| {
        let text = format!("staff\\n{domain}: {text}");
        wait_for(DEADLINE, |record| record.level == level && record.text == text);
    };
    wait_for(DEADLINE, |record| {
        record.level == log::Level::Warn
            && record.text.contains(&domain)
            && record.text.ends_with("which is stale: handshakes are told to retry")
    });

    credentials.put_key(key(1), &Metadata::default()).unwrap();
    assert_eq!(
        next(&events, EventKind::Reloaded).reason,
        format!("staff\\n{domain}: 1 keys added, 0 changed, 0 removed")
    );
    logged(log::Level::Info, "1 keys added, 0 changed, 0 removed");
    credentials.put_key(key(1), &Metadata::default()).unwrap();
    assert_eq!(events.try_next(), None, "nothing has changed");

    credentials.limit_age(LONG, OnStale::Refuse).unwrap();
    credentials.caught_up(Moment::now());
    assert_eq!(next(&events, EventKind::StoreCaughtUp).reason, format!("staff\\n{domain}: in contact"));
    logged(log::Level::Info, "in contact");
    assert_eq!(explain(), format!("200: OK {rules}"));
    let status = credentials.status();
    assert!((status.keys, status.users, status.is_stale) == (1, 0, false) && status.age.unwrap() < LONG);

    credentials.limit_age(SHORT, OnStale::Refuse).unwrap();
    let stale = "stale: it has had no contact for longer than its max_age";
    assert_eq!(next(&events, EventKind::StoreBehind).reason, format!("staff\\n{domain}: {stale}"));
    logged(log::Level::Warn, &format!("{stale}; handshakes are told to retry"));
    let status = credentials.status();
    assert!(status.is_stale && status.age.unwrap() > SHORT && status.max_age == SHORT);
    // And back again.
    credentials.limit_age(LONG, OnStale::Refuse).unwrap();
    credentials.caught_up(Moment::now());
    next(&events, EventKind::StoreCaughtUp);
    assert_eq!(events.dropped(), 0);
}

/// An answer to an old request says nothing about now, whenever it arrives.
#[test]
fn contact_is_as_old_as_the_question() {
    let (credentials, auth, domain) = pushed();
    credentials.put_key(key(1), &Metadata::default()).unwrap();
    let asked = Moment::now();
    wait_until("the question is old", || asked.elapsed() > SHORT);
    let credentials_of_an_old_answer = PushedCredentials::new("old");
    credentials_of_an_old_answer.limit_age(SHORT, OnStale::Refuse).unwrap();
    credentials_of_an_old_answer.caught_up(asked);
    assert!(credentials_of_an_old_answer.status().is_stale);
    // An old answer that arrives late doesn't undo a newer one.
    let recent = Moment::now();
    credentials.caught_up(recent);
    credentials.caught_up(asked);
    let age = credentials.status().age.unwrap();
    assert!(age <= recent.elapsed(), "{age:?}");
    assert_eq!(zap::curve(&auth, &domain, &key(1)), 200);
}

#[test]
fn times_are_enforced_and_an_invalid_one_is_refused() {
    let (credentials, auth, domain) = pushed();
    let (past, future) = ("2020-01-01T00:00:00Z", "2999-12-31T23:59:59Z");
    for (pairs, expected) in [
        (&[("not-before", past), ("not-after", future)][..], 200),
        (&[("not-after", past)], 400),
        (&[("not-before", future)], 400),
    ] {
        credentials.put_key(key(1), &named(pairs)).unwrap();
        assert_eq!(zap::curve(&auth, &domain, &key(1)), expected, "{pairs:?}");
    }
    credentials.put_key(key(1), &named(&[("name", "Alice")])).unwrap();
    for (name, value) in [
        ("not-after", "tomorrow"),
        ("not-before", "2020-01-01"),
        ("Not-After", past),
        ("not after", past),
        ("notafter", past),
        ("NOT_BEFORE", future),
        ("public-Key", "x"),
    ] {
        let metadata = named(&[("name", "Bob"), (name, value)]);
        let refused = [
            credentials.put_key(key(1), &metadata),
            credentials.change_keys([(key(2), Some(&Metadata::default())), (key(1), Some(&metadata))]),
            credentials.replace_keys([(key(2), Metadata::default()), (key(1), metadata.clone())]),
        ];
        for error in refused {
            assert!(matches!(&error, Err(Error::Metadata { name: told, .. }) if told == name), "{name}: {error:?}");
        }
        assert_eq!((zap::curve(&auth, &domain, &key(1)), zap::curve(&auth, &domain, &key(2))), (200, 400), "{name}");
    }
}

#[test]
fn one_handle_serves_many_domains_and_policies_and_metadata_may_name_the_client() {
    let (credentials, auth, domain) = pushed();
    let other = Authenticator::new();
    auth.configure_curve_pushed("*", &credentials).unwrap();
    other.configure_curve_pushed(&domain, &credentials.clone()).unwrap();
    other.curve_user_id_from(UserId::Metadata("name".into()));
    credentials.put_key(key(1), &named(&[("name", "alice")])).unwrap();
    assert_eq!([&auth, &other].map(|auth| zap::curve(auth, &domain, &key(1))), [200, 200]);
    assert_eq!(zap::curve(&auth, "elsewhere", &key(1)), 200);
    let request = zap::request(&domain, "::1", "CURVE", &[key(1).as_bytes()]);
    assert_eq!(other.handle_zap_message(&request).unwrap()[4], b"alice");
    for refused in [auth.add_curve_key(&domain, key(2)), auth.remove_curve_key(&domain, &key(1)).map(drop)] {
        assert!(matches!(refused, Err(Error::NoKeySet { source_kind: "pushed credentials", .. })), "{refused:?}");
    }
    // The policy keeps what it has after the program's handle is gone.
    drop(credentials);
    assert_eq!(zap::curve(&auth, &domain, &key(1)), 200);
}

#[test]
fn an_age_outside_its_range_changes_nothing() {
    let (credentials, ..) = pushed();
    let before = credentials.status();
    for age in [Duration::ZERO, Duration::from_millis(99), Duration::from_secs(31 * 24 * 3600), Duration::MAX] {
        assert!(matches!(credentials.limit_age(age, OnStale::KeepConnected), Err(Error::Limit { .. })), "{age:?}");
    }
    let after = credentials.status();
    assert_eq!((after.max_age, after.on_stale), (before.max_age, before.on_stale));
    let fresh = PushedCredentials::new("another").status();
    assert_eq!((fresh.max_age, fresh.on_stale), (Duration::from_secs(300), OnStale::Refuse));
}

#[test]
fn the_table_equals_a_map_whatever_is_pushed() {
    let (credentials, auth, domain) = pushed();
    let (mut random, mut model) = (Random::new(), HashMap::<u32, Metadata>::new());
    const KEYS: usize = 300;
    for step in 0..3_000 {
        let metadata = |random: &mut Random| match random.below(3) {
            0 => Metadata::default(),
            which => named(&[("which", &which.to_string())]),
        };
        let number = |random: &mut Random| random.below(KEYS) as u32;
        let before = model.clone();
        let summary = match random.below(20) {
            0 => {
                let all = random.below(KEYS);
                model = (0..all).map(|_| (number(&mut random), metadata(&mut random))).collect();
                credentials.replace_keys(model.iter().map(|(number, metadata)| (key(*number), metadata.clone())))
            }
            1..4 => {
                // Few and many, put and removed, some of them twice.
                let many = random.below(200);
                let changes: Vec<(u32, Option<Metadata>)> = (0..many)
                    .map(|_| (number(&mut random), (random.below(2) == 0).then(|| metadata(&mut random))))
                    .collect();
                for (number, metadata) in &changes {
                    match metadata {
                        Some(metadata) => model.insert(*number, metadata.clone()),
                        None => model.remove(number),
                    };
                }
                credentials.change_keys(changes.iter().map(|(number, metadata)| (key(*number), metadata.as_ref())))
            }
            4..12 => {
                let (number, metadata) = (number(&mut random), metadata(&mut random));
                model.insert(number, metadata.clone());
                credentials.put_key(key(number), &metadata)
            }
            _ => {
                let number = number(&mut random);
                assert_eq!(credentials.remove_key(&key(number)), model.remove(&number).is_some());
                continue;
            }
        }
        .unwrap();
        let added = model.keys().filter(|number| !before.contains_key(number)).count();
        let removed = before.keys().filter(|number| !model.contains_key(number)).count();
        let is_changed = |(number, new): &(&u32, &Metadata)| before.get(number).is_some_and(|old| old != *new);
        let changed = model.iter().filter(is_changed).count();
        assert_eq!((summary.added, summary.changed, summary.removed), (added, changed, removed), "step {step}");
        if step % 50 == 0 {
            for number in 0..KEYS as u32 {
                let request = zap::request(&domain, "::1", "CURVE", &[key(number).as_bytes()]);
                let reply = auth.handle_zap_message(&request).unwrap();
                let which = model.get(&number).map(|metadata| metadata.get("which").unwrap_or_default());
                let sent = which.map(|which| match which {
                    "" => String::new(),
                    which => format!("\u{5}which\0\0\0\u{1}{which}"),
                });
                let expected = (if sent.is_some() { 200 } else { 400 }, sent.unwrap_or_default());
                let found = (zap::status_of(&reply), String::from_utf8(reply[5].clone()).unwrap());
                assert_eq!(found, expected, "key {number} at step {step}");
            }
            assert_eq!(credentials.status().keys, model.len());
        }
    }
}

#[test]
fn keys_that_stay_are_always_accepted_while_others_come_and_go() {
    let (credentials, auth, domain) = pushed();
    let ended = AtomicBool::new(false);
    let with_constant =
        |numbers: std::ops::Range<u32>| numbers.chain([0]).map(|number| (key(number), Metadata::default()));
    credentials.replace_keys(with_constant(1..2)).unwrap();
    scope(|scope| {
        let decider = scope.spawn(|| {
            let mut decisions = 0;
            while !ended.load(Ordering::Relaxed) {
                let answers = [0, u32::MAX].map(|number| zap::curve(&auth, &domain, &key(number)));
                assert_eq!(answers, [200, 400]);
                decisions += 1;
            }
            decisions
        });
        for round in 1..40u32 {
            credentials.replace_keys(with_constant(round..round + 5_000)).unwrap();
            assert_eq!(zap::curve(&auth, &domain, &key(round - 1)), if round == 1 { 200 } else { 400 });
            for number in 10_000..10_100 {
                credentials.put_key(key(number), &Metadata::default()).unwrap();
                assert_eq!(zap::curve(&auth, &domain, &key(number)), 200);
            }
        }
        ended.store(true, Ordering::Relaxed);
        assert!(decider.join().unwrap() > 100);
    });
}
