//! Start, stop, drop, and the end of the context: in any order, the endpoint is free and nobody hangs.

mod harness;

use std::sync::mpsc;
use std::thread::{scope, spawn, yield_now};
use std::time::Duration;

use harness::DEADLINE;
use harness::doors::{Door, MECHANISMS, Mechanism};
use harness::faces::{Face, behaviours};
use harness::log::password;
use harness::sockets::{Client, Server};
use harness::zap::{self, Asker};
use zmq_auth::{Authenticator, Error, Handshake, SocketExt, ThreadAuthenticator};

behaviours! {
    it_starts_and_stops_2000_times,
    it_is_asked_between_2000_starts_and_stops,
    a_second_one_in_a_context_is_an_error_and_the_first_goes_on,
    it_starts_again_after_it_stopped_with_the_policy_as_it_was,
    one_policy_serves_two_contexts_at_once,
    a_dropped_context_ends_with_the_handler_running,
    a_destroyed_context_ends_with_the_handler_running,
    policy_first_then_start_leaves_no_window,
    a_client_that_waits_for_the_handler_is_let_in_when_it_starts,
    sockets_are_normal_after_the_handler_is_gone,
    it_stops_when_a_panic_unwinds,
    others_change_the_policy_while_it_starts_and_stops,
}

/// Runs it in a thread, and fails where it doesn't return.
#[track_caller]
fn returns<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    spawn(move || done.send(run()));
    is_done.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{what} hangs, or panicked"))
}

fn it_starts_and_stops_2000_times(face: Face) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    for n in 0..2000 {
        match face.try_start(&auth, &context) {
            // By stop and by drop.
            Ok(running) if n % 2 == 0 => running.stop().unwrap(),
            Ok(running) => drop(running),
            Err(error) => panic!("round {n}: {error}"),
        }
    }
}

fn it_is_asked_between_2000_starts_and_stops(face: Face) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    for n in 0..2000 {
        let running = face.try_start(&auth, &context).unwrap_or_else(|error| panic!("round {n}: {error}"));
        let asker = Asker::connect(&context);
        asker.ask(&zap::request("d", "127.0.0.1", "NULL", &[]));
        assert_eq!(zap::status_of(&asker.reply()), 200);
        running.stop().unwrap();
    }
    assert_eq!(auth.counters().allowed, 2000);
}

fn a_second_one_in_a_context_is_an_error_and_the_first_goes_on(face: Face) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let running = face.start(&auth, &context);
    for other in [auth.clone(), Authenticator::new()] {
        assert!(matches!(face.try_start(&other, &context), Err(Error::AlreadyRunning)));
        assert!(matches!(other.start(&context), Err(Error::AlreadyRunning)));
    }
    let server = Server::new(&context, |socket| socket.null_server("null"));
    Client::null(&context, server.endpoint()).round_trip(&server);
    running.stop().unwrap();
    face.start(&Authenticator::new(), &context).stop().unwrap();
}

fn it_starts_again_after_it_stopped_with_the_policy_as_it_was(face: Face) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    let server = Server::new(&context, |socket| socket.plain_server("shop"));
    for _ in 0..3 {
        let running = face.start(&auth, &context);
        Client::plain(&context, server.endpoint(), "alice", &password("a")).round_trip(&server);
        Client::plain(&context, server.endpoint(), "alice", &password("b")).expect_denied();
        running.stop().unwrap();
    }
    // Changes while it stands still are in force when it is back.
    auth.configure_plain("shop", [("alice", password("b"))]).unwrap();
    let _running = face.start(&auth, &context);
    Client::plain(&context, server.endpoint(), "alice", &password("a")).expect_denied();
    Client::plain(&context, server.endpoint(), "alice", &password("b")).round_trip(&server);
}

fn one_policy_serves_two_contexts_at_once(face: Face) {
    let auth = Authenticator::new();
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    let contexts = [zmq::Context::new(), zmq::Context::new()];
    let [left, _right] = [face.start(&auth, &contexts[0]), face.start(&auth, &contexts[1])];
    let mut servers = contexts.each_ref().map(|context| Server::new(context, |socket| socket.plain_server("shop")));
    // Each handler answers for the servers of its context, wherever the clients are.
    for (server, context) in [(&servers[0], &contexts[0]), (&servers[1], &contexts[1]), (&servers[0], &contexts[1])] {
        Client::plain(context, server.endpoint(), "alice", &password("a")).round_trip(server);
    }
    left.stop().unwrap();
    Client::plain(&contexts[0], servers[1].endpoint(), "alice", &password("a")).round_trip(&servers[1]);
    let mut client = Client::plain(&contexts[1], servers[0].endpoint(), "alice", &password("a"));
    servers[0].expect(Handshake::Authenticated);
    servers[0].expect(Handshake::Authenticated);
    servers[0].expect(Handshake::Failed(None));
    client.assert_told_nothing();
    servers[0].assert_nothing_received();
}

fn a_dropped_context_ends_with_the_handler_running(face: Face) {
    for with_traffic in [false, true] {
        let context = zmq::Context::new();
        let auth = Authenticator::new();
        let running = face.start(&auth, &context);
        if with_traffic {
            let server = Server::new(&context, |socket| socket.null_server("null"));
            Client::null(&context, server.endpoint()).round_trip(&server);
        }
        returns("the end of the context", move || drop(context));
        returns("stop behind it", move || running.stop()).unwrap();
    }
}

fn a_destroyed_context_ends_with_the_handler_running(face: Face) {
    let (mut context, auth) = (zmq::Context::new(), Authenticator::new());
    let running = face.start(&auth, &context);
    returns("destroy", move || context.destroy().unwrap());
    returns("stop behind it", move || running.stop()).unwrap();
}

#[test]
fn a_destroyed_context_ends_the_handler() {
    let mut context = zmq::Context::new();
    let auth = ThreadAuthenticator::start(&context).unwrap();
    assert!(auth.is_running());
    returns("destroy", move || context.destroy().unwrap());
    // `destroy` returned because the handler's socket is closed; its thread is about to end.
    let end = std::time::Instant::now() + DEADLINE;
    while auth.is_running() {
        assert!(std::time::Instant::now() < end, "the handler goes on without its context");
        yield_now();
    }
    returns("stop behind it", move || auth.stop()).unwrap();
}

#[test]
fn a_context_ends_while_a_callback_is_stuck() {
    let (gate, _open_at_end) = harness::gate::Gate::new();
    let (inside, auth, context) = (gate.clone(), Authenticator::new(), zmq::Context::new());
    auth.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    auth.configure_plain_callback("d", move |_, _, _| {
        inside.pass();
        true
    })
    .unwrap();
    let running = auth.start(&context).unwrap();
    let asker = Asker::connect(&context);
    let secret = password("a");
    asker.ask(&zap::request("d", "127.0.0.1", "PLAIN", &[b"alice", secret.as_bytes()]));
    gate.wait_for(1);
    drop(asker);
    returns("the end of the context", move || drop(context));
    returns("drop", move || drop(running));
    gate.open();
    gate.wait_for(0);
    assert_eq!(auth.counters().allowed, 0);
}

#[test]
fn a_context_with_no_socket_left_is_an_error() {
    // In a process of its own: a thousand sockets take the files of other tests.
    if harness::process::is_child() {
        let context = zmq::Context::new();
        let sockets: Vec<_> = std::iter::from_fn(|| context.socket(zmq::PAIR).ok()).collect();
        assert!(sockets.len() > 100);
        assert!(matches!(Authenticator::new().start(&context), Err(Error::Zmq { .. })));
        return;
    }
    let ended = harness::process::run_again("a_context_with_no_socket_left_is_an_error", &[], DEADLINE);
    assert!(ended.status.is_some_and(|status| status.success()), "{ended:?}");
}

fn policy_first_then_start_leaves_no_window(face: Face) {
    for _ in 0..50 {
        let (context, auth) = (zmq::Context::new(), Authenticator::new());
        auth.deny(["127.0.0.1"]).unwrap();
        let _running = face.start(&auth, &context);
        // The endpoint is bound when start returns, and the policy is whole.
        let server = Server::new(&context, |socket| socket.null_server("null"));
        Client::null(&context, server.endpoint()).expect_denied();
    }
}

fn a_client_that_waits_for_the_handler_is_let_in_when_it_starts(face: Face) {
    for mechanism in [Mechanism::Plain, Mechanism::Curve] {
        let (context, door, auth) = (zmq::Context::new(), Door::new(mechanism), Authenticator::new());
        door.configure(&auth);
        let mut server = door.server(&context, 30_000);
        // Refused as long as there is nobody to ask; it tries again when its own time is over.
        let mut client = Client::new(&context, server.endpoint(), |socket| {
            socket.set_handshake_ivl(300).unwrap();
            door.set_up_client(socket)
        });
        server.expect(Handshake::Failed(None));
        let _running = face.start(&auth, &context);
        loop {
            match client.wait_for_handshake(DEADLINE).unwrap().expect("a further try") {
                Handshake::Authenticated => break,
                other => assert_eq!(other, Handshake::Failed(None)),
            }
        }
        client.exchange(&server);
    }
}

fn sockets_are_normal_after_the_handler_is_gone(face: Face) {
    for mechanism in MECHANISMS {
        let (context, door, auth) = (zmq::Context::new(), Door::new(mechanism), Authenticator::new());
        door.configure(&auth);
        let running = face.start(&auth, &context);
        let mut server = door.server(&context, 30_000);
        let mut established = door.client(&context, server.endpoint());
        established.round_trip(&server);
        server.expect(Handshake::Authenticated);
        running.stop().unwrap();
        // Who is in stays in; nobody else gets in.
        established.exchange(&server);
        let mut client = door.client_once(&context, server.endpoint());
        server.expect(Handshake::Failed(None));
        client.assert_told_nothing();
        server.assert_nothing_received();
        // A socket without security works as if there had been no handler.
        let open = Server::new(&context, |_| Ok::<(), zmq::Error>(()));
        Client::null(&context, open.endpoint()).round_trip(&open);
    }
}

fn it_stops_when_a_panic_unwinds(face: Face) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (within, inside) = (context.clone(), auth.clone());
    let panicked = spawn(move || {
        let _running = face.start(&inside, &within);
        panic!("a panic that a test makes");
    })
    .join();
    assert!(panicked.is_err());
    face.start(&auth, &context).stop().unwrap();
}

fn others_change_the_policy_while_it_starts_and_stops(face: Face) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let done = std::sync::atomic::AtomicBool::new(false);
    scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                auth.set_addresses(["127.0.0.1"], ["10.0.0.1"]).unwrap();
                auth.configure_plain("d", [("alice", password("a"))]).unwrap();
                auth.remove_domain("d");
            }
        });
        let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..100 {
                let running = face.start(&auth, &context);
                let asker = Asker::connect(&context);
                asker.ask(&zap::request("d", "127.0.0.1", "NULL", &[]));
                assert_eq!(zap::status_of(&asker.reply()), 200);
                running.stop().unwrap();
            }
        }));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        rounds.unwrap();
    });
}
