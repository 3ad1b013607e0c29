//! Disconnecting one client, and no other.

use std::time::Duration;

use zmq_auth::{Authenticator, Connection, Error, Handshake, SocketExt};

use crate::harness::fixture::{DOMAIN, Fixture, MECHANISMS, Mechanism};
use crate::harness::process::isolated;
use crate::harness::sockets::{Client, Server, Transport, assert_no_handshake, socket};

const KINDS: [(zmq::SocketType, zmq::SocketType); 4] =
    [(zmq::ROUTER, zmq::DEALER), (zmq::REP, zmq::REQ), (zmq::PULL, zmq::PUSH), (zmq::XPUB, zmq::SUB)];

/// Sends a message from a client, and returns it as the server received it.
fn say(client: &Client, server: &Server, what: &str) -> zmq::Message {
    match client.get_socket_type().unwrap() {
        zmq::SUB => client.set_subscribe(what.as_bytes()).unwrap(),
        _ => client.send(what, 0).unwrap(),
    }
    let message = server.receive().into_frames().pop().unwrap();
    assert!(message.ends_with(what.as_bytes()), "{message:?}");
    if server.get_socket_type() == Ok(zmq::REP) {
        server.send("noted", 0).unwrap();
        client.recv_bytes(0).unwrap();
    }
    message
}

fn case(mechanism: Mechanism, transport: Transport, kind: (zmq::SocketType, zmq::SocketType)) {
    println!("{mechanism:?}, {transport:?}, {kind:?}");
    let (context, auth, fixture) = (zmq::Context::new(), Authenticator::new(), Fixture::new(mechanism));
    fixture.configure(&auth);
    auth.mark_clients().unwrap();
    let _running = auth.start(&context).unwrap();
    let server = Server::bind(&context, kind.0, transport, |socket| fixture.set_up_server(socket));
    // Each in its own process, as far as libzmq is concerned.
    let contexts = [(); 2].map(|()| zmq::Context::new());
    let connect = |context| Client::connect(context, kind.1, server.endpoint(), |socket| fixture.set_up_client(socket));
    let [mut alice, mut bob] = contexts.each_ref().map(connect);
    alice.expect(Handshake::Authenticated);
    bob.expect(Handshake::Authenticated);
    let hers = Connection::of(&say(&alice, &server, "alice")).unwrap();
    let his = Connection::of(&say(&bob, &server, "bob")).unwrap();
    assert_ne!(hers, his);
    assert_eq!(Connection::of(&say(&alice, &server, "alice again")).unwrap(), hers);
    assert!(hers.is_open().unwrap() && his.is_open().unwrap());

    // Messages of others that are in flight aren't lost.
    if kind.1 == zmq::PUSH {
        (0..1_000).for_each(|n| bob.send(&n.to_string(), 0).unwrap());
    }
    hers.disconnect().unwrap();
    if kind.1 == zmq::PUSH {
        (0..1_000).for_each(|n| assert_eq!(server.recv_bytes(0).unwrap(), n.to_string().as_bytes()));
    }
    if kind.0 == zmq::XPUB {
        // The unsubscriptions that libzmq makes for her have no sender; nobody must be disconnected because of them.
        for _ in 0..2 {
            let gone = server.recv_msg(0).unwrap();
            assert!(gone.starts_with(b"\0alice"), "{gone:?}");
            assert!(matches!(Connection::of(&gone), Err(Error::NoConnection(_))));
        }
    }
    // She was disconnected: her socket reconnects by itself, possibly with the same descriptor number.
    alice.expect(Handshake::Authenticated);
    assert!(!hers.is_open().unwrap());
    if kind.0 == zmq::XPUB {
        // Her subscriptions are sent again when her socket is next used.
        assert_eq!(alice.recv_bytes(zmq::DONTWAIT), Err(zmq::Error::EAGAIN));
        (0..2).for_each(|_| assert!(server.receive().frames()[0].starts_with(b"\x01alice")));
    }
    let hers_now = Connection::of(&say(&alice, &server, "alice is back")).unwrap();
    assert_ne!(hers_now, hers);
    hers.disconnect().expect("what is gone already is no error");
    assert!(hers_now.is_open().unwrap(), "the old one's number may be hers now");
    say(&alice, &server, "alice stays");
    say(&bob, &server, "bob stays");
    assert_no_handshake(&mut alice);
    assert_no_handshake(&mut bob);
    if kind.0 == zmq::XPUB {
        server.send("bob: news", 0).unwrap();
        assert_eq!(bob.recv_bytes(0).unwrap(), b"bob: news");
    }
}

#[test]
fn one_client_is_cut_off_and_no_other() {
    for mechanism in MECHANISMS {
        for transport in [Transport::Tcp, Transport::Ipc] {
            // Every kind of socket once for each mechanism; the rest doesn't depend on it.
            let kinds = if transport == Transport::Tcp { &KINDS[..] } else { &KINDS[2..] };
            kinds.iter().for_each(|&kind| case(mechanism, transport, kind));
        }
    }
}

#[test]
fn a_revoked_subscriber_is_cut_off_and_stays_out() {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (fixture, mallory) = (Fixture::new(Mechanism::Curve), crate::harness::log::keys());
    fixture.configure(&auth);
    auth.add_curve_key(DOMAIN, mallory.public).unwrap();
    auth.mark_clients().unwrap();
    let _running = auth.start(&context).unwrap();
    let server = Server::bind(&context, zmq::XPUB, Transport::Tcp, |socket| {
        socket.set_xpub_verbose(true).unwrap();
        fixture.set_up_server(socket)
    });
    let subscribe = |keys: &zmq_auth::KeyPair| {
        let mut client = Client::connect(&context, zmq::SUB, server.endpoint(), |socket| {
            socket.curve_client(keys, &fixture.server_keys.public)
        });
        client.expect(Handshake::Authenticated);
        client.set_subscribe(b"news").unwrap();
        let subscription = server.recv_msg(0).unwrap();
        (client, Connection::of(&subscription).unwrap(), subscription)
    };
    let mut subscribers = [subscribe(&fixture.client_keys), subscribe(&mallory)];
    auth.remove_curve_key(DOMAIN, &mallory.public).unwrap();
    let cut = subscribers.each_mut().map(|(_, connection, subscription)| {
        let allowed = auth.is_still_allowed(subscription);
        if !allowed {
            connection.disconnect().unwrap();
        }
        !allowed
    });
    assert_eq!(cut, [false, true]);
    subscribers[1].0.expect_denied();
    server.send("news", 0).unwrap();
    assert_eq!(subscribers[0].0.recv_bytes(0).unwrap(), b"news");
    assert_no_handshake(&mut subscribers[0].0);
    assert_eq!(subscribers[1].0.recv_bytes(zmq::DONTWAIT), Err(zmq::Error::EAGAIN));
}

#[test]
fn what_has_no_connection_or_has_lost_it_is_an_error() {
    // In its own process: a connection of another test could reuse the number of the one that has ended.
    isolated(|| {
        let context = zmq::Context::new();
        assert!(matches!(Connection::of(&zmq::Message::from("mine")), Err(Error::NoConnection(_))));
        let (server, client) = (socket(&context, zmq::PULL), socket(&context, zmq::PUSH));
        server.bind("inproc://no-connection").unwrap();
        client.connect("inproc://no-connection").unwrap();
        client.send("hello", 0).unwrap();
        assert!(matches!(Connection::of(&server.recv_msg(0).unwrap()), Err(Error::NoConnection(_))));

        // The client left before it was looked at; whoever has its number has another address.
        let server = Server::bind(&context, zmq::PULL, Transport::Tcp, |socket| socket.null_server("lab"));
        let _running = Authenticator::new().start(&context).unwrap();
        let none = |_: &mut zmq::Socket| Ok::<(), zmq::Error>(());
        // Each end of either connection sees another address, so that no descriptor with the old number passes for the old one.
        let mut client = Client::connect(&context, zmq::PUSH, &server.endpoint_from("127.0.0.3"), none);
        client.expect(Handshake::Authenticated);
        let message = say(&client, &server, "hello");
        let connection = Connection::of(&message).unwrap();
        drop(client);
        crate::harness::wait_until("the connection ends", || !connection.is_open().unwrap());
        let mut other = Client::connect(&context, zmq::PUSH, &server.endpoint_from("127.0.0.2"), none);
        other.expect(Handshake::Authenticated);
        assert!(matches!(Connection::of(&message), Err(Error::NoConnection(_))));
        connection.disconnect().unwrap();
        say(&other, &server, "still here");
        assert_eq!(other.wait_for_handshake(Duration::ZERO).unwrap(), None);
    });
}
