//! Processes that have used up their descriptors. (The start of a handler: `tests/regressions/resources.rs`.)

use std::fs;

use zmq_auth::{Authenticator, Error, Handshake, KeyDirectory, KeyPair, PasswordFile, PublicKey, load_certificates};

use crate::alone;
use crate::harness::doors::{DOMAIN, Door, Mechanism};
use crate::harness::faces::Face;
use crate::harness::partner::{Partner, say, told};
use crate::harness::process::is_child;
use crate::harness::sockets::{Client, Server, Transport};
use crate::harness::system::limit_descriptors;
use crate::harness::{log, zap};

/// The limit below which so many descriptors are free.
fn limit_of(spare: usize) -> u64 {
    let open = |number: &u64| fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    (0..).filter(|number| !open(number)).nth(spare).unwrap()
}

/// Runs something while so many descriptors are free.
fn with_spare<T>(spare: usize, run: impl FnOnce() -> T) -> T {
    let before = limit_descriptors(limit_of(spare));
    let result = run();
    limit_descriptors(before);
    result
}

fn certificate(key: &PublicKey) -> String {
    format!("curve\n    public-key = \"{key}\"\n")
}

#[test]
fn loading_without_descriptors_is_an_error_and_what_was_in_force_stays() {
    alone("descriptors::loading_without_descriptors_is_an_error_and_what_was_in_force_stays", || {
        log::install();
        let dir = tempfile::tempdir().unwrap();
        let [a, b, c] = [1, 2, 3].map(|n| PublicKey::from([n; 32]));
        fs::write(dir.path().join("a.key"), certificate(&a)).unwrap();
        fs::write(dir.path().join("b.key"), certificate(&b)).unwrap();
        let password = log::password("of alice");
        let users = dir.path().join("users");
        fs::write(&users, format!("alice={password}\n")).unwrap();
        let auth = Authenticator::new();
        let (keys, passwords) = (KeyDirectory::open(&dir).unwrap(), PasswordFile::open(&users).unwrap());
        auth.configure_curve_store("lab", &keys).unwrap();
        auth.configure_curve("once", dir.path()).unwrap();
        auth.configure_plain_file("shop", &passwords).unwrap();
        let lets_in = |domain: &str, key: &PublicKey| zap::curve(&auth, domain, key) == 200;
        fs::write(dir.path().join("c.key"), certificate(&c)).unwrap();
        let mut failed = 0;
        for spare in 0..4 {
            let reload = with_spare(spare, || keys.reload());
            match reload {
                Err(Error::Io { ref path, ref source, .. }) => {
                    assert_eq!((path.as_path(), source.raw_os_error()), (dir.path(), Some(libc::EMFILE)));
                    failed += 1;
                }
                Err(error) => panic!("{error}"),
                // The directory could be listed, its files couldn't be read; or all of it could.
                Ok(reload) => assert!(reload.problems > 0 || reload.added == 1 || lets_in("lab", &c), "{reload:?}"),
            }
            let once = with_spare(spare, || auth.configure_curve("once", dir.path()));
            let loaded = with_spare(spare, || load_certificates(&dir));
            assert_eq!(once.is_ok(), loaded.is_ok(), "{spare}: {once:?}, {loaded:?}");
            if let Err(error) = once {
                assert!(matches!(error, Error::Io { .. }), "{error:?}");
                assert!(error.to_string().contains("Too many open files"), "{error}");
            }
            let read = with_spare(spare, || passwords.reload());
            assert!(matches!(read, Ok(_) | Err(Error::Io { .. })), "{read:?}");
            for domain in ["lab", "once"] {
                assert!(lets_in(domain, &a) && lets_in(domain, &b), "{spare} to spare");
                assert!(!lets_in(domain, &PublicKey::from([9; 32])));
            }
            assert_eq!(zap::plain(&auth, "shop", b"alice", password.as_bytes()), 200);
        }
        assert_eq!(failed, 0, "a store keeps one descriptor for itself");
        keys.reload().expect("there are enough again");
        auth.configure_curve("once", dir.path()).unwrap();
        assert!(keys.status().problems.is_empty() && lets_in("lab", &c) && lets_in("once", &c));
    });
}

#[cfg(feature = "watch")]
#[test]
fn watching_without_descriptors_is_an_error_and_works_when_there_are_some_again() {
    alone("descriptors::watching_without_descriptors_is_an_error_and_works_when_there_are_some_again", || {
        log::install();
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = [1, 2].map(|n| PublicKey::from([n; 32]));
        fs::write(dir.path().join("a.key"), certificate(&a)).unwrap();
        let auth = Authenticator::new();
        let keys = KeyDirectory::open(&dir).unwrap();
        auth.configure_curve_store("lab", &keys).unwrap();
        let refused = with_spare(0, || keys.watch());
        assert!(matches!(&refused, Err(Error::Io { path, .. }) if path == dir.path()), "{refused:?}");
        assert!(!keys.status().watched);
        assert_eq!(zap::curve(&auth, "lab", &a), 200);
        keys.watch().expect("there are enough again");
        // Used up while it watches: the store keeps one for itself.
        with_spare(0, || {
            fs::remove_file(dir.path().join("a.key")).unwrap();
            crate::harness::wait_until("by the store's own one", || zap::curve(&auth, "lab", &a) == 400);
        });
        fs::write(dir.path().join("b.key"), certificate(&b)).unwrap();
        crate::harness::wait_until("it follows again", || zap::curve(&auth, "lab", &b) == 200);
        assert_eq!(zap::curve(&auth, "lab", &a), 400);
    });
}

#[test]
fn handshakes_without_descriptors_wait_and_nobody_else_gets_in_thread() {
    handshakes(Face::Thread, "thread");
}

#[cfg(feature = "tokio")]
#[test]
fn handshakes_without_descriptors_wait_and_nobody_else_gets_in_tokio() {
    handshakes(Face::MultiThread, "tokio");
}

fn handshakes(face: Face, name: &str) {
    if is_child() {
        return serve(face);
    }
    let mut server = Partner::start(
        &format!("descriptors::handshakes_without_descriptors_wait_and_nobody_else_gets_in_{name}"),
        &[],
    );
    let pass = server.hear();
    let [endpoint, key, secret] = pass.split(' ').collect::<Vec<_>>()[..] else { panic!("{pass}") };
    let (key, good) = (key.parse().unwrap(), KeyPair::from_secret(secret.parse().unwrap()).unwrap());
    log::secret_key(&good.secret);
    let bad = log::keys();
    let context = zmq::Context::new();
    let connect = |keys: &KeyPair| Client::curve(&context, endpoint, keys, &key);
    let established = &mut connect(&good);
    established.expect(Handshake::Authenticated);
    ping(established);
    for spare in 0..3 {
        assert_eq!(server.ask(&spare.to_string()), "limited");
        let mut waiting: Vec<_> = (0..4).map(|n| connect(if n % 2 == 0 { &good } else { &bad })).collect();
        // Who is in notices nothing.
        ping(established);
        assert_eq!(server.ask("free"), "freed");
        for (n, client) in waiting.iter_mut().enumerate() {
            if n % 2 == 0 {
                client.expect(Handshake::Authenticated);
                ping(client);
            } else {
                client.expect_denied();
            }
        }
        ping(established);
    }
    assert!(server.end().success());
}

#[track_caller]
fn ping(client: &Client) {
    client.send("ping", 0).unwrap();
    assert_eq!(client.recv_bytes(0).expect("an answer within the deadline"), b"ping");
}

fn serve(face: Face) {
    let (context, door, auth) = (zmq::Context::new(), Door::new(Mechanism::Curve), Authenticator::new());
    door.configure(&auth);
    let _running = face.start(&auth, &context);
    let server = Server::bind(&context, zmq::REP, Transport::Tcp, |socket| {
        socket.set_rcvtimeo(20).unwrap();
        socket.set_handshake_ivl(120_000).unwrap();
        zmq_auth::SocketExt::curve_server(socket, &door.server_keys, DOMAIN)
    });
    let key = door.server_keys.public;
    say(&format!("{} {key} {}", server.endpoint(), *door.client_keys.secret.to_z85()));
    let (sender, orders) = std::sync::mpsc::channel();
    std::thread::spawn(move || while told().is_some_and(|order| sender.send(order).is_ok()) {});
    let mut before = None;
    loop {
        if let Ok(message) = server.recv_bytes(0) {
            server.send(message, 0).unwrap();
        }
        match orders.try_recv().as_deref() {
            Ok("free") => {
                limit_descriptors(before.take().unwrap());
                say("freed");
            }
            Ok(spare) => {
                before = Some(limit_descriptors(limit_of(spare.parse().unwrap())));
                say("limited");
            }
            Err(std::sync::mpsc::TryRecvError::Empty) => {}
            Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
        }
    }
}
