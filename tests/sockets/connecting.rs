//! Servers that connect to their clients. By itself, libzmq applies the answer about a client that has gone to the next one at
//! the same endpoint.

use std::net::TcpListener;
use std::ops::Deref;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use zmq_auth::{Authenticator, Handshake, KeyPair, MonitoredSocket, PublicKey, SocketExt, ThreadAuthenticator};

use crate::harness::barrier::{Barrier, OpenOnDrop};
use crate::harness::fixture::{Fixture, MECHANISMS};
use crate::harness::process::isolated;
use crate::harness::relay::{Passage, Relay};
use crate::harness::sockets::{expect, socket};
use crate::harness::zap_domain::enforces_domain;
use crate::harness::{DEADLINE, domain, log};

/// If libzmq reconnects at all, it has done so by then: its interval is 100 ms, plus a random part of at most as much.
const COMEBACK: Duration = Duration::from_millis(700);

/// A server behind a relay, and a callback whose verdict on each client waits for the test.
struct Setup {
    // Dropped before the guard, so that no callback is left behind.
    _open_on_drop: [OpenOnDrop; 2],
    server: Watched,
    relay: Relay,
    good: KeyPair,
    bad: KeyPair,
    /// Where the callback waits before it accepts the good client…
    good_verdict: Barrier,
    /// …and before it refuses the bad one.
    bad_verdict: Barrier,
    asked: Receiver<PublicKey>,
    server_key: PublicKey,
    _running: ThreadAuthenticator,
}

impl Setup {
    fn new() -> Self {
        let (keys, good, bad) = (log::keys(), log::keys(), log::keys());
        let (domain, context, auth) = (domain("connecting"), zmq::Context::new(), Authenticator::new());
        let ((good_gate, open_good), (bad_gate, open_bad)) = (Barrier::new(), Barrier::new());
        let (ask, asked) = channel();
        let (right, waits) = (good.public, [good_gate.clone(), bad_gate.clone()]);
        auth.limit_callbacks(64, Duration::from_secs(600)).unwrap();
        auth.configure_curve_callback(&domain, move |key, _| {
            let _ = ask.send(*key);
            waits[usize::from(*key != right)].wait();
            *key == right
        })
        .unwrap();
        let running = auth.start(&context).unwrap();
        let mut server = socket(&context, zmq::ROUTER);
        server.curve_server(&keys, &domain).unwrap();
        Setup {
            _open_on_drop: [open_good, open_bad],
            server: Watched::new(&context, server),
            relay: Relay::new(),
            good,
            bad,
            good_verdict: good_gate,
            bad_verdict: bad_gate,
            asked,
            server_key: keys.public,
            _running: running,
        }
    }

    /// Waits until the callback is called, and returns the key.
    #[track_caller]
    fn asked(&self) -> PublicKey {
        self.asked.recv_timeout(DEADLINE).expect("the callback is asked within the deadline")
    }

    /// A client to which the server connects.
    fn client(&self, keys: &KeyPair) -> (MonitoredSocket, String) {
        listening(|socket| socket.curve_client(keys, &self.server_key))
    }

    /// The good client gets as far as the callback, and is disconnected while the callback waits.
    fn disconnect_good_client(&self) {
        let (_client, endpoint) = self.client(&self.good);
        self.server.connect(&self.relay.endpoint()).unwrap();
        let passage = Passage::open(self.relay.accept(DEADLINE).expect("the server connects"), &endpoint, usize::MAX);
        assert_eq!(self.asked(), self.good.public);
        drop(passage);
        self.server.wait_for(zmq::SocketEvent::DISCONNECTED);
        self.server.settle();
    }

    /// Waits until the callback has accepted the good client, which may have gone by now.
    fn accept_good_client(&self) {
        self.good_verdict.open();
        let key = self.good.public.to_string();
        log::wait_for(DEADLINE, |record| record.text.starts_with("allowed") && record.text.contains(&key));
    }
}

/// A listening client in its own context.
fn listening(set_up: impl FnOnce(&mut zmq::Socket) -> zmq_auth::Result<()>) -> (MonitoredSocket, String) {
    let context = zmq::Context::new();
    let mut client = socket(&context, zmq::DEALER);
    set_up(&mut client).unwrap();
    let client = MonitoredSocket::new(&context, client).unwrap();
    client.bind("tcp://127.0.0.1:*").unwrap();
    let endpoint = client.endpoint().unwrap();
    (client, endpoint)
}

/// A server, and the events of its connections. (A monitor must not end before its socket.)
struct Watched {
    socket: zmq::Socket,
    events: zmq::Socket,
}

impl Watched {
    fn new(context: &zmq::Context, server: zmq::Socket) -> Self {
        let endpoint = format!("inproc://{}", domain("watched"));
        server.monitor(&endpoint, zmq::SocketEvent::ALL.to_raw().into()).unwrap();
        let events = socket(context, zmq::PAIR);
        events.connect(&endpoint).unwrap();
        Watched { socket: server, events }
    }

    /// Waits for an event; returns the earlier ones.
    #[track_caller]
    fn wait_for(&self, wanted: zmq::SocketEvent) -> Vec<u16> {
        let mut before = Vec::new();
        loop {
            let frames = self.events.recv_multipart(0).unwrap_or_else(|error| panic!("{error} after {before:x?}"));
            let event = u16::from_ne_bytes([frames[0][0], frames[0][1]]);
            if event == wanted.to_raw() {
                return before;
            }
            before.push(event);
        }
    }

    /// Waits until libzmq has finished with a connection after reporting `DISCONNECTED`. It reports first, and then ends
    /// whatever the socket has at the same endpoint, including a new connection.
    fn settle(&self) {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        self.socket.connect(&format!("tcp://{}", silent.local_addr().unwrap())).unwrap();
        // On the same I/O thread, which was busy with the other one until then.
        self.wait_for(zmq::SocketEvent::CONNECTED);
    }
}

impl Deref for Watched {
    type Target = zmq::Socket;

    fn deref(&self) -> &zmq::Socket {
        &self.socket
    }
}

#[test]
fn the_answer_about_a_client_that_has_gone_accepts_no_other() {
    let setup = Setup::new();
    setup.disconnect_good_client();
    let (mut client, endpoint) = setup.client(&setup.bad);
    let passage = setup.relay.accept(COMEBACK).map(|stream| Passage::open(stream, &endpoint, usize::MAX));
    if passage.is_some() {
        assert_eq!(setup.asked(), setup.bad.public);
    }
    setup.accept_good_client();
    let handshake = client.wait_for_handshake(COMEBACK).unwrap();
    assert_ne!(handshake, Some(Handshake::Authenticated), "it has entered with the answer about another");
    assert_eq!(setup.server.recv_bytes(zmq::DONTWAIT), Err(zmq::Error::EAGAIN));
    assert!(passage.is_none(), "the server has reconnected by itself");
}

/// What the documentation recommends.
#[test]
fn of_clients_at_one_endpoint_each_has_its_own_answer_when_the_program_connects_again() {
    let setup = Setup::new();
    setup.disconnect_good_client();
    let (mut client, endpoint) = setup.client(&setup.bad);
    setup.server.connect(&setup.relay.endpoint()).unwrap();
    let _passage = Passage::open(setup.relay.accept(DEADLINE).expect("the server connects"), &endpoint, usize::MAX);
    assert_eq!(setup.asked(), setup.bad.public);
    setup.accept_good_client();
    setup.bad_verdict.open();
    expect(&mut client, Handshake::Denied(400));
    assert_eq!(setup.server.recv_bytes(zmq::DONTWAIT), Err(zmq::Error::EAGAIN));
}

/// The same race with a handler that answers at once. It isn't won every time, hence several attempts.
#[test]
fn a_client_that_takes_the_place_of_another_in_mid_handshake_is_not_accepted() {
    thread::scope(|scope| {
        let tries: Vec<_> = (0..16).map(|_| scope.spawn(take_the_place_of_another)).collect();
        let entered = tries.into_iter().map(|attempt| attempt.join().unwrap()).filter(|&got_in| got_in);
        assert_eq!(entered.count(), 0, "of 16");
    });
}

/// Returns whether it was accepted.
fn take_the_place_of_another() -> bool {
    // The greeting and HELLO are shorter, INITIATE is longer.
    const BEHIND_INITIATE: usize = 300;
    let (keys, good, bad) = (log::keys(), log::keys(), log::keys());
    let (domain, context, auth) = (domain("place"), zmq::Context::new(), Authenticator::new());
    auth.configure_curve_keys(&domain, [good.public]).unwrap();
    let _running = auth.start(&context).unwrap();
    let mut server = socket(&context, zmq::ROUTER);
    server.curve_server(&keys, &domain).unwrap();
    let relay = Relay::new();
    server.connect(&relay.endpoint()).unwrap();
    let (_good, endpoint) = listening(|socket| socket.curve_client(&good, &keys.public));
    let _cut = Passage::open(relay.accept(DEADLINE).expect("the server connects"), &endpoint, BEHIND_INITIATE);
    let (mut client, endpoint) = listening(|socket| socket.curve_client(&bad, &keys.public));
    let _passage = relay.accept(COMEBACK).map(|stream| Passage::open(stream, &endpoint, usize::MAX));
    let wait = if _passage.is_some() { DEADLINE } else { Duration::ZERO };
    client.wait_for_handshake(wait).unwrap() == Some(Handshake::Authenticated)
}

#[test]
fn an_answer_that_nobody_waits_for_does_not_end_the_process() {
    isolated(|| {
        let setup = Setup::new();
        setup.disconnect_good_client();
        // A client that reconnects finds a server that sends nothing.
        let _silent = setup.relay.accept(COMEBACK);
        setup.accept_good_client();
        // The server's I/O thread is alive.
        let (client, endpoint) = setup.client(&setup.good);
        setup.server.connect(&endpoint).unwrap();
        client.send("hello", 0).unwrap();
        assert_eq!(setup.server.recv_with_sender(0).unwrap().user_id(), Some(&*setup.good.public.to_string()));
    });
}

#[test]
fn a_server_that_was_disconnected_does_not_come_back_by_itself() {
    for mechanism in MECHANISMS {
        let (fixture, context, auth) = (Fixture::new(mechanism), zmq::Context::new(), Authenticator::new());
        fixture.configure(&auth);
        let _running = auth.start(&context).unwrap();
        let mut server = socket(&context, zmq::ROUTER);
        fixture.set_up_server(&mut server).unwrap();
        let server = Watched::new(&context, server);
        let relay = Relay::new();
        server.connect(&relay.endpoint()).unwrap();
        let (_client, endpoint) = listening(|socket| fixture.set_up_client(socket));
        let passage = Passage::open(relay.accept(DEADLINE).expect("the server connects"), &endpoint, usize::MAX);
        server.wait_for(zmq::SocketEvent::HANDSHAKE_SUCCEEDED);
        drop(passage);
        server.wait_for(zmq::SocketEvent::DISCONNECTED);
        // If libzmq were going to retry, it would report that at once. It doesn't, up to the end of another connection's
        // handshake on the same I/O thread, so it isn't going to.
        let (client, endpoint) = listening(|socket| fixture.set_up_client(socket));
        server.connect(&endpoint).unwrap();
        let between = server.wait_for(zmq::SocketEvent::HANDSHAKE_SUCCEEDED);
        assert!(!between.contains(&zmq::SocketEvent::CONNECT_RETRIED.to_raw()), "{mechanism:?}: {between:x?}");
        client.send("hello", 0).unwrap();
        assert_eq!(server.recv_multipart(0).unwrap()[1], b"hello", "{mechanism:?}");
    }
}

#[test]
fn a_server_that_becomes_a_client_reconnects_and_enforces_nothing() {
    let (context, keys) = (zmq::Context::new(), log::keys());
    let server_key = log::stranger();
    let password = log::password("role");
    for mechanism in MECHANISMS {
        let fixture = Fixture::new(mechanism);
        for plain in [false, true] {
            let mut socket = socket(&context, zmq::DEALER);
            socket.set_reconnect_ivl(7).unwrap();
            fixture.set_up_server(&mut socket).unwrap();
            assert_eq!((socket.get_reconnect_ivl(), enforces_domain(&mut socket)), (Ok(-1), true), "{mechanism:?}");
            match plain {
                false => socket.curve_client(&keys, &server_key).unwrap(),
                true => socket.plain_client("alice", &password).unwrap(),
            }
            assert_eq!((socket.get_reconnect_ivl(), enforces_domain(&mut socket)), (Ok(100), false), "{mechanism:?}");
        }
    }
    // What the program has set for a client stays.
    let mut socket = socket(&context, zmq::DEALER);
    socket.set_reconnect_ivl(7).unwrap();
    socket.curve_client(&keys, &server_key).unwrap();
    assert_eq!(socket.get_reconnect_ivl(), Ok(7));
}
