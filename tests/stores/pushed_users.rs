//! Users that a program pushes, with hashed passwords.

use zmq_auth::{
    Authenticator, Error, Handshake, Moment, OnStale, Password, PasswordFile, PushedCredentials, SocketExt,
};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::password;
use crate::harness::sockets::{Client, Server};
use crate::harness::{domain, wait_until, zap};
use crate::hashed::{REFERENCE, among_others};

behaviours!(a_user_is_accepted_as_soon_as_they_are_pushed_and_judged_by_the_password_of_now);

const LONG: std::time::Duration = std::time::Duration::from_secs(3600);
const SHORT: std::time::Duration = std::time::Duration::from_millis(100);

fn pushed() -> (PushedCredentials, Authenticator, String) {
    let (auth, domain) = (Authenticator::new(), domain("pushed-users"));
    let credentials = PushedCredentials::new(&domain);
    credentials.limit_age(LONG, OnStale::Refuse).unwrap();
    credentials.caught_up(Moment::now());
    auth.configure_plain_pushed(&domain, &credentials).unwrap();
    (credentials, auth, domain)
}

fn hash(password: &str) -> String {
    Password::from(password).hash().unwrap()
}

fn a_user_is_accepted_as_soon_as_they_are_pushed_and_judged_by_the_password_of_now(front_end: FrontEnd) {
    let _turn = among_others();
    let ((credentials, auth, domain), context) = (pushed(), zmq::Context::new());
    let (old, new) = (password("old"), password("new"));
    auth.mark_clients().unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.plain_server(&domain));
    let connect = |password: &str| Client::plain(&context, server.endpoint(), "alice", password);
    connect(&old).expect(Handshake::Denied(400));
    credentials.put_user("alice", &hash(&old)).unwrap();
    let mut message = connect(&old).round_trip(&server).into_frames().pop().unwrap();
    assert!(auth.is_still_allowed(&mut message));
    // Another user's change doesn't affect her.
    credentials.put_user("bob", &hash(&new)).unwrap();
    assert!(auth.is_still_allowed(&mut message));
    assert_eq!(credentials.put_user("alice", &hash(&new)).unwrap().changed, 1);
    assert!(!auth.is_still_allowed(&mut message));
    connect(&old).expect(Handshake::Denied(400));
    let mut message = connect(&new).round_trip(&server).into_frames().pop().unwrap();
    credentials.limit_age(SHORT, OnStale::Refuse).unwrap();
    wait_until("the contact is too old", || credentials.status().is_stale);
    assert!(!auth.is_still_allowed(&mut message));
    assert_eq!(zap::plain(&auth, &domain, b"alice", new.as_bytes()), 300);
    // Without a hash, the credentials can't be used.
    let request = zap::request(&domain, "::1", "PLAIN", &[b"alice", new.as_bytes()]);
    assert_eq!(auth.explain(&request).unwrap().status, Some(300));
    credentials.limit_age(SHORT, OnStale::KeepConnected).unwrap();
    assert!(auth.is_still_allowed(&mut message));
    assert!(credentials.remove_user("alice") && !credentials.remove_user("alice"));
    assert!(!auth.is_still_allowed(&mut message));
    server.assert_nothing_received();
}

#[test]
fn many_changes_are_one_and_of_one_name_the_last_counts() {
    let _turn = among_others();
    let (credentials, auth, domain) = pushed();
    let (secret, other) = (password("1"), password("2"));
    let (first, second) = (hash(&secret), hash(&other));
    let changes = [("alice", Some(&*first)), ("bob", Some(&*first)), ("alice", Some(&*second)), ("carol", None)];
    let made = credentials.change_users(changes).unwrap();
    assert_eq!((made.added, made.changed, made.removed), (2, 0, 0));
    let status = |user: &str, password: &str| zap::plain(&auth, &domain, user.as_bytes(), password.as_bytes());
    assert_eq!((status("alice", &other), status("alice", &secret), status("bob", &secret)), (200, 400, 200));
    let made = credentials.change_users([("alice", Some(&*second)), ("carol", None)]).unwrap();
    assert_eq!((made.added, made.changed, made.removed), (0, 0, 0), "all of it is so already");
    let made = credentials.replace_users([("carol", &*first), ("alice", &*first)]).unwrap();
    assert_eq!((made.added, made.changed, made.removed), (1, 1, 1));
    assert_eq!((status("bob", &secret), status("carol", &secret)), (400, 200));
    assert_eq!(credentials.status().users, 2);
}

#[test]
fn clear_passwords_and_hashes_that_cannot_be_checked_are_refused_and_change_nothing() {
    let _turn = among_others();
    let (credentials, auth, domain) = pushed();
    credentials.put_user("alice", REFERENCE).unwrap();
    let clear = password("clear");
    let long = "x".repeat(256);
    for bad in [&*clear, "", "$2y$10$abcdefghijklmnopqrstuu", &REFERENCE.replace("t=2", "t=11"), "argon2id$x"] {
        let refused = [
            credentials.put_user("alice", bad),
            credentials.change_users([("bob", Some(REFERENCE)), ("alice", Some(bad))]),
            credentials.replace_users([("bob", REFERENCE), ("alice", bad)]),
        ];
        for error in refused.map(Result::unwrap_err) {
            assert!(matches!(error, Error::PlainCredentials { what: "password", .. }), "{error}");
            assert!(bad.is_empty() || !format!("{error:?}").contains(bad), "{error}");
        }
    }
    for name in ["", "a\0", &long, "alice:$argon2id$v=19"] {
        let error = credentials.put_user(name, REFERENCE).unwrap_err();
        assert!(matches!(error, Error::PlainCredentials { what: "user name", .. }), "{error}");
    }
    assert_eq!(zap::plain(&auth, &domain, b"alice", b"password"), 200);
    assert_eq!(credentials.status().users, 1);
}

#[test]
fn a_hash_and_a_line_of_a_password_file_are_made_alike() {
    let _turn = among_others();
    let (credentials, auth, domain) = pushed();
    let secret = password("line");
    let line = PasswordFile::line("alice", &Password::from(secret.as_str())).unwrap();
    credentials.put_user("alice", line.strip_prefix("alice=").unwrap()).unwrap();
    assert_eq!(zap::plain(&auth, &domain, b"alice", secret.as_bytes()), 200);
    for bad in ["".to_owned(), "x".repeat(256)] {
        assert!(matches!(Password::from(bad).hash(), Err(Error::PlainCredentials { what: "password", .. })));
    }
}
