//! Start, stop, drop, and the end of the context, in any order: the endpoint is free afterwards and nothing hangs.

use std::thread::{scope, spawn, yield_now};
use std::time::Duration;

use crate::harness::fixture::{Fixture, MECHANISMS, Mechanism};
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::password;
use crate::harness::process::isolated;
use crate::harness::sockets::{Client, Server};
use crate::harness::zap::{self, Asker};
use crate::harness::{DEADLINE, within_deadline};
use zmq_auth::{Authenticator, Error, Handshake, SocketExt, ThreadAuthenticator};

behaviours! {
    it_starts_and_stops_2000_times,
    it_answers_between_2000_starts_and_stops,
    a_second_handler_in_a_context_is_an_error_and_the_first_is_not_disturbed,
    it_starts_again_after_it_stopped_with_the_policy_as_it_was,
    one_policy_serves_two_contexts_at_once,
    a_dropped_context_ends_with_the_handler_running,
    a_destroyed_context_ends_with_the_handler_running,
    policy_first_then_start_leaves_no_window,
    a_client_that_waits_for_the_handler_is_accepted_when_it_starts,
    sockets_are_normal_after_the_handler_is_gone,
    it_stops_when_a_panic_unwinds,
    others_change_the_policy_while_it_starts_and_stops,
}

fn it_starts_and_stops_2000_times(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    for n in 0..2000 {
        match front_end.try_start(&auth, &context) {
            // By stop and by drop.
            Ok(running) if n % 2 == 0 => running.stop().unwrap(),
            Ok(running) => drop(running),
            Err(error) => panic!("round {n}: {error}"),
        }
    }
}

fn it_answers_between_2000_starts_and_stops(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    for n in 0..2000 {
        let running = front_end.try_start(&auth, &context).unwrap_or_else(|error| panic!("round {n}: {error}"));
        let asker = Asker::connect(&context);
        asker.ask(&zap::request("d", "127.0.0.1", "NULL", &[]));
        assert_eq!(zap::status_of(&asker.reply()), 200);
        running.stop().unwrap();
    }
    assert_eq!(auth.counters().allowed, 2000);
}

fn a_second_handler_in_a_context_is_an_error_and_the_first_is_not_disturbed(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let running = front_end.start(&auth, &context);
    for other in [auth.clone(), Authenticator::new()] {
        assert!(matches!(front_end.try_start(&other, &context), Err(Error::AlreadyRunning)));
        assert!(matches!(other.start(&context), Err(Error::AlreadyRunning)));
    }
    let server = Server::new(&context, |socket| socket.null_server("null"));
    Client::null(&context, server.endpoint()).round_trip(&server);
    running.stop().unwrap();
    front_end.start(&Authenticator::new(), &context).stop().unwrap();
}

fn it_starts_again_after_it_stopped_with_the_policy_as_it_was(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    let server = Server::new(&context, |socket| socket.plain_server("shop"));
    for _ in 0..3 {
        let running = front_end.start(&auth, &context);
        Client::plain(&context, server.endpoint(), "alice", &password("a")).round_trip(&server);
        Client::plain(&context, server.endpoint(), "alice", &password("b")).expect_denied();
        running.stop().unwrap();
    }
    // Changes while it is stopped apply when it runs again.
    auth.configure_plain("shop", [("alice", password("b"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    Client::plain(&context, server.endpoint(), "alice", &password("a")).expect_denied();
    Client::plain(&context, server.endpoint(), "alice", &password("b")).round_trip(&server);
}

fn one_policy_serves_two_contexts_at_once(front_end: FrontEnd) {
    let auth = Authenticator::new();
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    let contexts = [zmq::Context::new(), zmq::Context::new()];
    let [left, _right] = [front_end.start(&auth, &contexts[0]), front_end.start(&auth, &contexts[1])];
    let mut servers = contexts.each_ref().map(|context| Server::new(context, |socket| socket.plain_server("shop")));
    // Each handler serves the servers of its context, wherever the clients are.
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

fn a_dropped_context_ends_with_the_handler_running(front_end: FrontEnd) {
    for with_traffic in [false, true] {
        let context = zmq::Context::new();
        let auth = Authenticator::new();
        let running = front_end.start(&auth, &context);
        if with_traffic {
            let server = Server::new(&context, |socket| socket.null_server("null"));
            Client::null(&context, server.endpoint()).round_trip(&server);
        }
        within_deadline("the end of the context", move || drop(context));
        within_deadline("stop behind it", move || running.stop()).unwrap();
    }
}

fn a_destroyed_context_ends_with_the_handler_running(front_end: FrontEnd) {
    let (mut context, auth) = (zmq::Context::new(), Authenticator::new());
    let running = front_end.start(&auth, &context);
    within_deadline("destroy", move || context.destroy().unwrap());
    within_deadline("stop behind it", move || running.stop()).unwrap();
}

#[test]
fn a_destroyed_context_ends_the_handler() {
    let mut context = zmq::Context::new();
    let auth = ThreadAuthenticator::start(&context).unwrap();
    assert!(auth.is_running());
    within_deadline("destroy", move || context.destroy().unwrap());
    // `destroy` returned because the handler's socket is closed; its thread is about to end.
    let end = std::time::Instant::now() + DEADLINE;
    while auth.is_running() {
        assert!(std::time::Instant::now() < end, "the handler goes on without its context");
        yield_now();
    }
    within_deadline("stop behind it", move || auth.stop()).unwrap();
}

#[test]
fn a_context_ends_while_a_callback_is_stuck() {
    let (barrier, _open_on_drop) = crate::harness::barrier::Barrier::new();
    let (inside, auth, context) = (barrier.clone(), Authenticator::new(), zmq::Context::new());
    auth.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    auth.configure_plain_callback("d", move |_, _, _| {
        inside.wait();
        true
    })
    .unwrap();
    let running = auth.start(&context).unwrap();
    let asker = Asker::connect(&context);
    let secret = password("a");
    asker.ask(&zap::request("d", "127.0.0.1", "PLAIN", &[b"alice", secret.as_bytes()]));
    barrier.wait_for(1);
    drop(asker);
    within_deadline("the end of the context", move || drop(context));
    within_deadline("drop", move || drop(running));
    barrier.open();
    barrier.wait_for(0);
    assert_eq!(auth.counters().allowed, 0);
}

#[test]
fn a_context_with_no_socket_left_is_an_error() {
    // A thousand sockets would take other tests' descriptors.
    isolated(|| {
        let context = zmq::Context::new();
        let sockets: Vec<_> = std::iter::from_fn(|| context.socket(zmq::PAIR).ok()).collect();
        assert!(sockets.len() > 100);
        assert!(matches!(Authenticator::new().start(&context), Err(Error::Zmq { .. })));
    });
}

fn policy_first_then_start_leaves_no_window(front_end: FrontEnd) {
    for _ in 0..50 {
        let (context, auth) = (zmq::Context::new(), Authenticator::new());
        auth.deny(["127.0.0.1"]).unwrap();
        let _running = front_end.start(&auth, &context);
        // The endpoint is bound when start returns, and the policy is complete.
        let server = Server::new(&context, |socket| socket.null_server("null"));
        Client::null(&context, server.endpoint()).expect_denied();
    }
}

fn a_client_that_waits_for_the_handler_is_accepted_when_it_starts(front_end: FrontEnd) {
    for mechanism in [Mechanism::Plain, Mechanism::Curve] {
        let (context, fixture, auth) = (zmq::Context::new(), Fixture::new(mechanism), Authenticator::new());
        fixture.configure(&auth);
        let mut server = fixture.server(&context, 30_000);
        // Refused while there is nobody to ask; it retries after its own timeout.
        let mut client = Client::new(&context, server.endpoint(), |socket| {
            socket.set_handshake_ivl(300).unwrap();
            fixture.set_up_client(socket)
        });
        server.expect(Handshake::Failed(None));
        let _running = front_end.start(&auth, &context);
        loop {
            match client.wait_for_handshake(DEADLINE).unwrap().expect("a further try") {
                Handshake::Authenticated => break,
                other => assert_eq!(other, Handshake::Failed(None)),
            }
        }
        client.exchange(&server);
    }
}

fn sockets_are_normal_after_the_handler_is_gone(front_end: FrontEnd) {
    for mechanism in MECHANISMS {
        let (context, fixture, auth) = (zmq::Context::new(), Fixture::new(mechanism), Authenticator::new());
        fixture.configure(&auth);
        let running = front_end.start(&auth, &context);
        let mut server = fixture.server(&context, 30_000);
        let mut established = fixture.client(&context, server.endpoint());
        established.round_trip(&server);
        server.expect(Handshake::Authenticated);
        running.stop().unwrap();
        // The connected client stays connected; no other is accepted.
        established.exchange(&server);
        let mut client = fixture.client_once(&context, server.endpoint());
        server.expect(Handshake::Failed(None));
        client.assert_told_nothing();
        server.assert_nothing_received();
        // A socket without security works as if there had been no handler.
        let open = Server::new(&context, |_| Ok::<(), zmq::Error>(()));
        Client::null(&context, open.endpoint()).round_trip(&open);
    }
}

fn it_stops_when_a_panic_unwinds(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (within, inside) = (context.clone(), auth.clone());
    let panicked = spawn(move || {
        let _running = front_end.start(&inside, &within);
        panic!("a panic that a test makes");
    })
    .join();
    assert!(panicked.is_err());
    front_end.start(&auth, &context).stop().unwrap();
}

fn others_change_the_policy_while_it_starts_and_stops(front_end: FrontEnd) {
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
                let running = front_end.start(&auth, &context);
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
