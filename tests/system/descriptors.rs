//! Processes that have used up their descriptors.

use std::fs;
use std::thread;

use zmq_auth::{Authenticator, Error, Handshake, KeyDirectory, KeyPair, PasswordFile, PublicKey, load_certificates};

use crate::harness::fixture::{DOMAIN, Fixture, Mechanism};
use crate::harness::front_end::FrontEnd;
use crate::harness::process::{is_child, isolated};
use crate::harness::sockets::{Client, Server, Transport};
use crate::harness::system::{Scope, descriptor_limit, limit_descriptors, refuse, with_spare_descriptors};
use crate::harness::worker::{Worker, next_command, report};
use crate::harness::{log, zap};
use crate::started_context;

fn certificate(key: &PublicKey) -> String {
    format!("curve\n    public-key = \"{key}\"\n")
}

#[test]
fn without_descriptors_start_is_an_error_and_works_when_there_are_some_again() {
    isolated(|| {
        log::install();
        let (context, auth) = (started_context(), Authenticator::new());
        #[cfg(feature = "tokio")]
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut failed = 0;
        for spare in 0..10 {
            let started = with_spare_descriptors(spare, || auth.start(&context));
            match started {
                Ok(running) => running.stop().unwrap(),
                Err(Error::Zmq { .. } | Error::Pipe(_)) => failed += 1,
                Err(error) => panic!("{spare} to spare: {error:?}"),
            }
            auth.start(&context).expect("there are enough again").stop().unwrap();
            #[cfg(feature = "tokio")]
            runtime.block_on(async {
                let started = with_spare_descriptors(spare, || {
                    // It never waits: it is a single poll.
                    let mut start = Box::pin(auth.start_async(&context));
                    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                    start.as_mut().poll(&mut context)
                });
                match started {
                    std::task::Poll::Ready(Ok(running)) => running.stop().await.unwrap(),
                    std::task::Poll::Ready(Err(_)) => {}
                    std::task::Poll::Pending => panic!("start waits"),
                }
                auth.start_async(&context).await.expect("there are enough again").stop().await.unwrap();
            });
        }
        assert!((2..10).contains(&failed), "{failed} starts of 10 failed");
    });
}

/// `ENFILE`, an error number that the `zmq` crate doesn't know.
#[test]
fn a_system_without_descriptors_is_an_error_too() {
    isolated(|| {
        log::install();
        let (context, auth) = (started_context(), Authenticator::new());
        thread::scope(|scope| {
            let refused = scope.spawn(|| {
                // `eventfd`, as if the whole system had no descriptor left.
                refuse(&[libc::SYS_eventfd2], libc::ENFILE, Scope::Thread);
                auth.start(&context).map(drop)
            });
            let refused = refused.join().expect("start doesn't panic");
            assert!(matches!(refused, Err(Error::Zmq { .. })), "{refused:?}");
        });
        auth.start(&context).expect("the others have descriptors").stop().unwrap();
    });
}

#[test]
fn loading_without_descriptors_is_an_error_and_the_old_keys_stay() {
    isolated(|| {
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
        let accepts = |domain: &str, key: &PublicKey| zap::curve(&auth, domain, key) == 200;
        fs::write(dir.path().join("c.key"), certificate(&c)).unwrap();
        let mut failed = 0;
        for spare in 0..4 {
            let reload = with_spare_descriptors(spare, || keys.reload());
            match reload {
                Err(Error::Io { ref path, ref source, .. }) => {
                    assert_eq!((path.as_path(), source.raw_os_error()), (dir.path(), Some(libc::EMFILE)));
                    failed += 1;
                }
                Err(error) => panic!("{error}"),
                // Either the directory could be listed but its files not read, or everything could be read.
                Ok(reload) => assert!(reload.problems > 0 || reload.added == 1 || accepts("lab", &c), "{reload:?}"),
            }
            let once = with_spare_descriptors(spare, || auth.configure_curve("once", dir.path()));
            let loaded = with_spare_descriptors(spare, || load_certificates(&dir));
            assert_eq!(once.is_ok(), loaded.is_ok(), "{spare}: {once:?}, {loaded:?}");
            if let Err(error) = once {
                assert!(matches!(error, Error::Io { .. }), "{error:?}");
                assert!(error.to_string().contains("Too many open files"), "{error}");
            }
            let read = with_spare_descriptors(spare, || passwords.reload());
            assert!(matches!(read, Ok(_) | Err(Error::Io { .. })), "{read:?}");
            for domain in ["lab", "once"] {
                assert!(accepts(domain, &a) && accepts(domain, &b), "{spare} to spare");
                assert!(!accepts(domain, &PublicKey::from([9; 32])));
            }
            assert_eq!(zap::plain(&auth, "shop", b"alice", password.as_bytes()), 200);
        }
        assert_eq!(failed, 0, "a store keeps one descriptor for itself");
        keys.reload().expect("there are enough again");
        auth.configure_curve("once", dir.path()).unwrap();
        assert!(keys.status().problems.is_empty() && accepts("lab", &c) && accepts("once", &c));
    });
}

#[cfg(feature = "watch")]
#[test]
fn watching_without_descriptors_is_an_error_and_works_when_there_are_some_again() {
    isolated(|| {
        log::install();
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = [1, 2].map(|n| PublicKey::from([n; 32]));
        fs::write(dir.path().join("a.key"), certificate(&a)).unwrap();
        let auth = Authenticator::new();
        let keys = KeyDirectory::open(&dir).unwrap();
        auth.configure_curve_store("lab", &keys).unwrap();
        let refused = with_spare_descriptors(0, || keys.watch());
        assert!(matches!(&refused, Err(Error::Io { path, .. }) if path == dir.path()), "{refused:?}");
        assert!(!keys.status().watched);
        assert_eq!(zap::curve(&auth, "lab", &a), 200);
        keys.watch().expect("there are enough again");
        // Used up while it watches: the store has one in reserve.
        with_spare_descriptors(0, || {
            fs::remove_file(dir.path().join("a.key")).unwrap();
            crate::harness::wait_until("by the store's own one", || zap::curve(&auth, "lab", &a) == 400);
        });
        fs::write(dir.path().join("b.key"), certificate(&b)).unwrap();
        crate::harness::wait_until("it follows again", || zap::curve(&auth, "lab", &b) == 200);
        assert_eq!(zap::curve(&auth, "lab", &a), 400);
    });
}

#[test]
fn handshakes_without_descriptors_wait_and_nobody_else_is_accepted_thread() {
    handshakes(FrontEnd::Thread, "thread");
}

#[cfg(feature = "tokio")]
#[test]
fn handshakes_without_descriptors_wait_and_nobody_else_is_accepted_tokio() {
    handshakes(FrontEnd::MultiThread, "tokio");
}

fn handshakes(front_end: FrontEnd, name: &str) {
    if is_child() {
        return serve(front_end);
    }
    let mut server = Worker::start(
        &format!("descriptors::handshakes_without_descriptors_wait_and_nobody_else_is_accepted_{name}"),
        &[],
    );
    let access = server.receive();
    let [endpoint, key, secret] = access.split(' ').collect::<Vec<_>>()[..] else { panic!("{access}") };
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
        // The connected client notices nothing.
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

fn serve(front_end: FrontEnd) {
    let (context, fixture, auth) = (zmq::Context::new(), Fixture::new(Mechanism::Curve), Authenticator::new());
    fixture.configure(&auth);
    let _running = front_end.start(&auth, &context);
    let server = Server::bind(&context, zmq::REP, Transport::Tcp, |socket| {
        socket.set_rcvtimeo(20).unwrap();
        socket.set_handshake_ivl(120_000).unwrap();
        zmq_auth::SocketExt::curve_server(socket, &fixture.server_keys, DOMAIN)
    });
    let key = fixture.server_keys.public;
    report(&format!("{} {key} {}", server.endpoint(), *fixture.client_keys.secret.to_z85()));
    let (sender, orders) = std::sync::mpsc::channel();
    std::thread::spawn(move || while next_command().is_some_and(|order| sender.send(order).is_ok()) {});
    let mut before = None;
    loop {
        if let Ok(message) = server.recv_bytes(0) {
            server.send(message, 0).unwrap();
        }
        match orders.try_recv().as_deref() {
            Ok("free") => {
                limit_descriptors(before.take().unwrap());
                report("freed");
            }
            Ok(spare) => {
                before = Some(limit_descriptors(descriptor_limit(spare.parse().unwrap())));
                report("limited");
            }
            Err(std::sync::mpsc::TryRecvError::Empty) => {}
            Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
        }
    }
}
