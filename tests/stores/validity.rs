//! Validity times of certificates.

use std::fs;

use zmq_auth::{Authenticator, Certificate, Error, Handshake, KeyDirectory, SocketExt};

use crate::files::{Store, certificate, key};
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::keys;
use crate::harness::sockets::{Client, Server};
use crate::harness::{domain, zap};

behaviours!(an_expired_certificate_is_refused_and_its_successor_is_accepted);

const PAST: &str = "2020-01-01T00:00:00Z";
const FUTURE: &str = "2999-12-31T23:59:59+01:00";

fn text(auth: &Authenticator, domain: &str, number: u32) -> (u16, String) {
    let reply = auth.handle_zap_message(&zap::request(domain, "::1", "CURVE", &[key(number).as_bytes()])).unwrap();
    (zap::status_of(&reply), String::from_utf8(reply[3].clone()).unwrap())
}

fn an_expired_certificate_is_refused_and_its_successor_is_accepted(front_end: FrontEnd) {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("validity"));
    let (server_keys, old, current, next) = (keys(), keys(), keys(), keys());
    let directory = tempfile::tempdir().unwrap();
    for (pair, name, not_before, not_after) in [
        (&old, "alice-2019", "2019-01-01T00:00:00Z", "2019-12-31T23:59:59Z"),
        (&current, "alice", "2020-01-01T00:00:00Z", "2999-12-31T23:59:59Z"),
        (&next, "alice-3000", "3000-01-01T00:00:00+01:00", "3000-12-31T23:59:59Z"),
    ] {
        let certificate = Certificate::from(pair.public).with_metadata("name", "Alice").unwrap();
        let certificate = certificate.with_metadata("not-before", not_before).unwrap();
        let certificate = certificate.with_metadata("not-after", not_after).unwrap();
        certificate.save_public(directory.path().join(format!("{name}.key"))).unwrap();
    }
    auth.configure_curve(&domain, &directory).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, &domain));
    for pair in [&old, &next] {
        Client::curve(&context, server.endpoint(), pair, &server_keys.public).expect(Handshake::Denied(400));
    }
    let received = Client::curve(&context, server.endpoint(), &current, &server_keys.public).round_trip(&server);
    assert_eq!(received.sender().property("name"), Some("Alice"));
}

#[test]
fn the_times_of_a_certificate_are_enforced_by_both_kinds_of_directory() {
    let store = Store::of(|dir| {
        let dates: [&[(&str, &str)]; 5] = [
            &[("not-before", PAST), ("not-after", FUTURE)],
            &[("not-after", PAST)],
            &[("not-before", FUTURE)],
            &[("not-before", PAST)],
            &[("name", "no dates")],
        ];
        for (dates, number) in dates.iter().zip(0..) {
            fs::write(dir.join(format!("{number}.key")), certificate(&key(number), dates)).unwrap();
        }
    });
    let once = domain("once");
    store.auth.configure_curve(&once, store.dir.path()).unwrap();
    for domain in [&store.domain, &once] {
        assert_eq!(text(&store.auth, domain, 0).0, 200);
        assert_eq!(text(&store.auth, domain, 1), (400, "certificate expired".to_owned()));
        assert_eq!(text(&store.auth, domain, 2), (400, "certificate not valid yet".to_owned()));
        assert_eq!(text(&store.auth, domain, 3).0, 200);
        assert_eq!(text(&store.auth, domain, 4).0, 200);
        assert_eq!(text(&store.auth, domain, 5), (400, "unknown key".to_owned()));
    }
    // A user-id map doesn't change that.
    store.auth.curve_user_id(|_| "alice".into());
    for domain in [&store.domain, &once] {
        assert_eq!(text(&store.auth, domain, 1), (400, "certificate expired".to_owned()));
        assert_eq!(text(&store.auth, domain, 2), (400, "certificate not valid yet".to_owned()));
    }
}

#[test]
fn two_keys_of_one_user_overlap_while_they_are_rotated() {
    let store = Store::of(|dir| {
        fs::write(dir.join("alice-1.key"), certificate(&key(1), &[("name", "alice"), ("not-after", FUTURE)])).unwrap();
    });
    fs::write(store.path("alice-2.key"), certificate(&key(2), &[("name", "alice"), ("not-before", PAST)])).unwrap();
    assert_eq!(store.reload(), (1, 0, 0));
    assert!(store.accepts(&key(1)) && store.accepts(&key(2)));
    // The old one ends.
    fs::write(store.path("alice-1.key"), certificate(&key(1), &[("name", "alice"), ("not-after", PAST)])).unwrap();
    assert_eq!(store.reload(), (0, 1, 0));
    assert!(!store.accepts(&key(1)) && store.accepts(&key(2)));
}

#[test]
fn a_time_that_cannot_be_read_is_an_error_that_names_the_file_and_the_old_keys_stay() {
    let store = Store::of(|dir| fs::write(dir.join("1.key"), certificate(&key(1), &[("not-after", FUTURE)])).unwrap());
    let once = domain("once");
    store.auth.configure_curve(&once, store.dir.path()).unwrap();
    fs::write(store.path("1.key"), certificate(&key(1), &[("not-after", "next year")])).unwrap();
    let named = |error| matches!(error, Error::Certificate { path, .. } if path == store.path("1.key"));
    assert!(named(KeyDirectory::open(&store.dir).unwrap_err()));
    assert!(named(Authenticator::new().configure_curve("x", store.dir.path()).unwrap_err()));
    assert!(named(zmq_auth::load_certificates(&store.dir).unwrap_err()));
    assert!(named(store.auth.configure_curve(&once, store.dir.path()).unwrap_err()));
    assert_eq!(text(&store.auth, &once, 1), (200, "OK".to_owned()), "the old keys stay");
    assert_eq!(store.keys.reload().unwrap().problems, 1);
    assert!(store.accepts(&key(1)), "by what the file said before");
    assert!(store.keys.status().problems[0].what.contains("not-after"));
}
