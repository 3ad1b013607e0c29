//! Hashed passwords.

use std::fs;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, Error, Password, PasswordFile, SocketExt};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::sockets::{Client, Server};
use crate::harness::{log, zap};
use crate::passwords::Users;

/// The limit on concurrent hashes is shared by the process, and so by these tests: one that uses all of it locks out the others.
static HASHING: RwLock<()> = RwLock::new(());

pub(crate) fn among_others() -> RwLockReadGuard<'static, ()> {
    HASHING.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    HASHING.write().unwrap_or_else(PoisonError::into_inner)
}

/// From argon2's reference implementation, for "password" and "somesalt".
pub(crate) const REFERENCE: &str =
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

pub(crate) fn line(user: &str, password: &str) -> String {
    PasswordFile::line(user, &Password::from(password)).unwrap() + "\n"
}

#[test]
fn a_generated_line_accepts_its_user_and_nobody_else() {
    let _turn = among_others();
    let (alice, bob) = (log::password("alice"), log::password("bob"));
    let content = line("alice", &alice) + &line("bob", &bob);
    assert!(!content.contains(&alice) && !content.contains(&bob));
    assert_ne!(line("alice", &alice), line("alice", &alice), "each has a salt of its own");
    let users = Users::of(&content);
    assert_eq!(users.passwords.status().entries, 2);
    assert_eq!((users.status("alice", &alice), users.status("bob", &bob)), (200, 200));
    assert_eq!((users.status("alice", &bob), users.status("bob", &alice)), (400, 400));
    assert_eq!((users.status("alice", ""), users.status("nobody", &alice)), (400, 400));
    // The hash is not the password.
    let hash = content.lines().next().unwrap().strip_prefix("alice=").unwrap();
    assert_eq!(users.status("alice", hash), 400);
}

#[test]
fn the_reply_names_the_user_and_refusals_read_the_same() {
    let _turn = among_others();
    let secret = log::password("1");
    let users = Users::of(line("alice", &secret) + "bob=clear\n");
    let reply = |user: &str, password: &str| {
        let credentials = [user.as_bytes(), password.as_bytes()];
        let reply = users.auth.handle_zap_message(&zap::request(&users.domain, "::1", "PLAIN", &credentials)).unwrap();
        reply.into_iter().map(|frame| String::from_utf8(frame).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(reply("alice", &secret), ["1.0", "1", "200", "OK", "alice", ""]);
    assert_eq!(reply("bob", "clear"), ["1.0", "1", "200", "OK", "bob", ""]);
    let refused = reply("alice", "wrong");
    assert_eq!(refused, ["1.0", "1", "400", "unknown user or wrong password", "", ""]);
    assert_eq!(reply("bob", "wrong"), refused);
    assert_eq!(reply("nobody", "wrong"), refused);
}

#[test]
fn the_hash_of_another_program_is_understood() {
    let _turn = among_others();
    let users = Users::of(format!("alice={REFERENCE}\n"));
    assert_eq!((users.status("alice", "password"), users.status("alice", "Password")), (200, 400));
}

#[test]
fn a_tampered_hash_accepts_nobody_or_is_an_error() {
    let _turn = among_others();
    let changed = REFERENCE.replace("CTFh", "CTFi");
    assert_eq!(Users::of(format!("alice={changed}\n")).status("alice", "password"), 400);
    for (from, to) in [
        ("$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", ""),
        ("CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "CTFhFdXPJO1aFaMaO6Mm"),
        ("RPPc", "RPPc$more"),
        ("RPPc", "RPP!"),
        ("RPPc", "RPPc "),
        ("m=65536", "m=65537"),
        ("m=65536", "m=4294967295"),
        ("m=65536", "m=7"),
        ("t=2", "t=11"),
        ("t=2", "t=0"),
        ("p=1", "p=17"),
        ("p=1", "p=0"),
        (",p=1", ""),
        ("p=1", "p=1,data=c29tZQ"),
        ("v=19", "v=16"),
        ("v=19$", ""),
        ("c29tZXNhbHQ", "c29tc2FsdA"),
        ("argon2id", "argon2"),
    ] {
        let bad = REFERENCE.replace(from, to);
        assert_ne!(bad, REFERENCE);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, format!("bob=x\nalice={bad}\n")).unwrap();
        match PasswordFile::open(&file) {
            Err(error @ Error::PasswordFile { line: Some(2), .. }) => {
                assert!(!error.to_string().contains("CTFh"), "{error}");
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
}

#[test]
fn names_and_passwords_that_no_line_can_hold_are_refused() {
    let _turn = among_others();
    let long = "x".repeat(256);
    for user in ["", "#a", "a=b", "a\nb", "a\r", "a\0", "\u{feff}a", &long] {
        let error = PasswordFile::line(user, &Password::from("x")).unwrap_err();
        assert!(matches!(error, Error::PlainCredentials { what: "user name", .. }), "{user:?}");
    }
    for password in ["", &long] {
        let error = PasswordFile::line("alice", &Password::from(password)).unwrap_err();
        assert!(matches!(error, Error::PlainCredentials { what: "password", .. }));
    }
    let users = Users::of(line("a b#c", "x"));
    assert_eq!(users.status("a b#c", "x"), 200);
}

#[test]
fn every_attempt_costs_one_hash() {
    let _turn = alone();
    let users = Users::of(line("alice", "x") + "bob=clear\n");
    let users_and_passwords =
        [("alice", "wrong"), ("nobody", "wrong"), ("bob", "clear"), ("bob", "wrong"), ("alice", "x")];
    // On a busy machine a single measurement says little; the least of several is what an attempt really costs. Without a
    // hash that is microseconds, in the first round as in the last.
    let mut least = [Duration::MAX; 5];
    for _ in 0..20 {
        for (least, (user, password)) in least.iter_mut().zip(users_and_passwords) {
            let start = Instant::now();
            users.status(user, password);
            *least = start.elapsed().min(*least);
        }
        if least.iter().all(|took| *took > least[0] / 4) {
            return;
        }
    }
    panic!("an attempt of {users_and_passwords:?} costs less than a hash: {least:?}");
}

#[test]
fn a_file_without_hashes_costs_none_and_a_reload_decides_anew() {
    let _turn = among_others();
    let users = Users::of("alice=clear\n");
    let request = zap::request(&users.domain, "::1", "PLAIN", &[b"alice", b"clear"]);
    assert_eq!(users.auth.explain(&request).unwrap().status, Some(200), "decided at once");
    fs::write(&users.file, line("alice", "hashed")).unwrap();
    assert_eq!(users.reload(), (0, 1, 0));
    assert_eq!((users.status("alice", "hashed"), users.status("alice", "clear")), (200, 400));
    assert_eq!(users.auth.explain(&request).unwrap().status, None, "decided elsewhere");
}

#[test]
fn more_clients_than_hashes_get_300_and_never_500() {
    let _turn = alone();
    let users = Users::of(line("alice", "x"));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..80).map(|_| scope.spawn(|| users.status("alice", "x"))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(statuses.iter().all(|status| [200, 300].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200));
    assert_eq!(users.status("alice", "x"), 200, "and room again afterwards");
}

behaviours!(a_client_with_a_hashed_password_is_accepted_while_others_are_decided);

fn a_client_with_a_hashed_password_is_accepted_while_others_are_decided(front_end: FrontEnd) {
    let _turn = among_others();
    let secret = log::password("end to end");
    let users = Users::of(line("alice", &secret));
    let auth: &Authenticator = &users.auth;
    auth.mark_clients().unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(auth, &context);
    let server = Server::new(&context, |socket| socket.plain_server(&users.domain));
    let mut client = Client::plain(&context, server.endpoint(), "alice", &secret);
    let received = client.round_trip(&server);
    assert_eq!(received.sender().user_id(), Some("alice"));
    let mut message = received.into_frames().pop().unwrap();
    assert!(auth.is_still_allowed(&mut message));
    let mut refused = Client::plain(&context, server.endpoint(), "alice", "wrong");
    refused.expect(zmq_auth::Handshake::Denied(400));
    fs::write(&users.file, line("alice", "another one")).unwrap();
    users.reload();
    assert!(!auth.is_still_allowed(&mut message));
}
