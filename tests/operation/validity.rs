//! Certificates that begin and end.

use zmq_auth::{Authenticator, Certificate, Error, Handshake, PublicKey, SocketExt};

use crate::harness::domain;
use crate::harness::faces::{Face, behaviours};
use crate::harness::log::keys;
use crate::harness::sockets::{Client, Server};

behaviours!(an_expired_certificate_is_refused_and_its_successor_is_let_in);

fn an_expired_certificate_is_refused_and_its_successor_is_let_in(face: Face) {
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
    let _running = face.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, &domain));
    for pair in [&old, &next] {
        Client::curve(&context, server.endpoint(), pair, &server_keys.public).expect(Handshake::Denied(400));
    }
    let received = Client::curve(&context, server.endpoint(), &current, &server_keys.public).round_trip(&server);
    assert_eq!(received.sender().property("name"), Some("Alice"));
}

fn directory_of(name: &str, value: &str) -> (tempfile::TempDir, PublicKey) {
    let (directory, key) = (tempfile::tempdir().unwrap(), keys().public);
    let certificate = Certificate::from(key).with_metadata(name, value).unwrap();
    certificate.save_public(directory.path().join("alice.key")).unwrap();
    (directory, key)
}

fn reason(auth: &Authenticator, key: &PublicKey) -> String {
    let frames: [&[u8]; 7] = [b"1.0", b"1", b"d", b"127.0.0.1", b"", b"CURVE", key.as_bytes()];
    String::from_utf8(auth.handle_zap_message(&frames).unwrap().swap_remove(3)).unwrap()
}

#[test]
fn the_reason_says_which_end_it_is() {
    let auth = Authenticator::new();
    let (directory, key) = directory_of("not-after", "2019-12-31T23:59:59Z");
    auth.configure_curve("d", &directory).unwrap();
    assert_eq!(reason(&auth, &key), "certificate expired");
    let (directory, key) = directory_of("not-before", "3000-01-01T00:00:00Z");
    auth.configure_curve("d", &directory).unwrap();
    assert_eq!(reason(&auth, &key), "certificate not valid yet");
    // A user-id map doesn't change that.
    auth.curve_user_id(|_| "alice".into());
    assert_eq!(reason(&auth, &key), "certificate not valid yet");
}

#[test]
fn a_time_that_can_not_be_read_fails_the_directory_and_the_old_keys_stay() {
    let auth = Authenticator::new();
    let (good, key) = directory_of("not-after", "2999-12-31T23:59:59Z");
    auth.configure_curve("d", &good).unwrap();
    let (bad, _) = directory_of("not-after", "next year");
    let Err(Error::Certificate { path, .. }) = auth.configure_curve("d", &bad) else { panic!("it was loaded") };
    assert_eq!(path, bad.path().join("alice.key"));
    assert_eq!(reason(&auth, &key), "OK");
}
