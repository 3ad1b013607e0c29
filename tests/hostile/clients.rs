//! Hostile clients: none is accepted, the handler is not asked about them, and the good client is still served.

use zmq_auth::{Authenticator, Handshake, SocketExt};

use crate::guarded::GuardedServer;
use crate::harness::fixture::{Fixture, MECHANISMS, Mechanism, USER};
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::keys;
use crate::harness::proxy::{self, Damage};
use crate::harness::sockets::{Client, Server, Transport};

behaviours! {
    a_client_that_speaks_no_zmtp_is_refused,
    clients_of_zmtp_1_and_2_are_refused,
    garbled_commands_are_refused,
    a_client_of_another_mechanism_is_refused_and_the_handler_is_not_asked,
    a_client_that_is_set_up_as_a_server_is_refused,
    bogus_keys_are_refused,
    long_routing_ids_work,
}

fn a_client_that_speaks_no_zmtp_is_refused(front_end: FrontEnd) {
    for mechanism in MECHANISMS {
        let guarded = GuardedServer::new(front_end, mechanism, 30_000);
        guarded.send_until_hang_up(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
        guarded.send_until_hang_up(&[b'x'; 4096]);
        guarded.send_until_hang_up(&[0; 4096]);
        guarded.send_until_hang_up(&[0xff; 4096]);
        guarded.assert_the_first_accepted_is_good();
    }
}

fn clients_of_zmtp_1_and_2_are_refused(front_end: FrontEnd) {
    for mechanism in MECHANISMS {
        let guarded = GuardedServer::new(front_end, mechanism, 30_000);
        // ZMTP 1.0: an anonymous identity, then a message. (RFC 13)
        guarded.send_until_hang_up(b"\x01\x00\x01\x01\x05\x00ping");
        // ZMTP 1.0 with a long length, and 2.0 with signature, revision and socket type. (RFC 15)
        guarded.send_until_hang_up(b"\xff\0\0\0\0\0\0\0\x01\x00\x01\x01\x05\x00ping");
        guarded.send_until_hang_up(b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x03\x00\x00\x01\x00\x00\x04ping");
        guarded.send_until_hang_up(b"\xff\0\0\0\0\0\0\0\x01\x7f\x00\x03\x00\x00\x01\x00\x00\x04ping");
        guarded.assert_the_first_accepted_is_good();
    }
}

/// The greeting of ZMTP 3.1 as client. (RFC 23)
fn greeting(mechanism: &str) -> Vec<u8> {
    let mut bytes = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01".to_vec();
    bytes.extend_from_slice(mechanism.as_bytes());
    bytes.resize(64, 0);
    bytes
}

fn garbled_commands_are_refused(front_end: FrontEnd) {
    let guarded = GuardedServer::new(front_end, Mechanism::Curve, 30_000);
    let hello = |length: usize| {
        let mut command = greeting("CURVE");
        // A long command: flag, eight bytes of length, then the name with its own length.
        command.push(6);
        command.extend_from_slice(&(length as u64).to_be_bytes());
        let mut body = b"\x05HELLO\x01\x00".to_vec();
        body.resize(length, 0x55);
        command.extend_from_slice(&body);
        command
    };
    for length in [200, 199, 201, 8, 6] {
        guarded.send_until_hang_up(&hello(length));
    }
    // INITIATE before HELLO, an unknown command, a command without a name, and messages without a handshake.
    for body in [&b"\x04\x0c\x08INITIATEabc"[..], b"\x04\x06\x05WORLD", b"\x04\x00", b"\x04\x01\xff", b"\x00\x04ping"] {
        let mut bytes = greeting("CURVE");
        bytes.extend_from_slice(body);
        guarded.send_until_hang_up(&bytes);
    }
    // Damage in transit: the boxes of HELLO and INITIATE don't open.
    for damage in [
        Damage::Flip("HELLO"),
        Damage::Truncate("HELLO"),
        Damage::Flip("INITIATE"),
        Damage::Truncate("INITIATE"),
        Damage::Repeat("HELLO"),
    ] {
        let endpoint = format!("tcp://{}", proxy::start(guarded.server.port(), damage));
        let mut client = guarded.fixture.client_once(&guarded.context, &endpoint);
        client.expect_mismatch();
        assert_eq!(guarded.auth.counters(), Default::default(), "{damage:?}: nobody is asked");
    }
    guarded.assert_the_first_accepted_is_good();

    let guarded = GuardedServer::new(front_end, Mechanism::Plain, 30_000);
    for body in [
        &b"\x04\x06\x05HELLO"[..],
        b"\x04\x07\x05HELLO\x05",
        b"\x04\x0d\x05HELLO\x05alice\xff",
        b"\x04\x0c\x05HELLO\x05alice",
        b"\x04\x10\x05HELLO\x05alice\x01ab\x00",
        b"\x04\x0b\x08INITIATE\x00\x00",
        b"\x00\x04ping",
    ] {
        let mut bytes = greeting("PLAIN");
        bytes.extend_from_slice(body);
        guarded.send_until_hang_up(&bytes);
    }
    assert_eq!(guarded.auth.counters(), Default::default());
    guarded.assert_the_first_accepted_is_good();
}

fn a_client_of_another_mechanism_is_refused_and_the_handler_is_not_asked(front_end: FrontEnd) {
    for at_the_server in MECHANISMS {
        for at_the_client in MECHANISMS.into_iter().filter(|other| *other != at_the_server) {
            let guarded = GuardedServer::new(front_end, at_the_server, 30_000);
            let fixture = Fixture { mechanism: at_the_client, ..Fixture::new(at_the_client) };
            Client::new(&guarded.context, guarded.server.endpoint(), |socket| match at_the_client {
                Mechanism::Curve => socket.curve_client(&fixture.client_keys, &guarded.fixture.server_keys.public),
                _ => fixture.set_up_client(socket),
            })
            .expect_mismatch();
            assert_eq!(guarded.auth.counters(), Default::default(), "{at_the_client:?} against {at_the_server:?}");
            guarded.assert_the_first_accepted_is_good();
        }
    }
}

fn a_client_that_is_set_up_as_a_server_is_refused(front_end: FrontEnd) {
    for mechanism in [Mechanism::Plain, Mechanism::Curve] {
        let mut guarded = GuardedServer::new(front_end, mechanism, 2_000);
        let mut client = Client::new(&guarded.context, guarded.server.endpoint(), |socket| {
            socket.set_reconnect_ivl(-1).unwrap();
            guarded.fixture.set_up_server(socket)
        });
        // Each waits for the other to start, until the server's handshake times out.
        guarded.server.expect(Handshake::Failed(None));
        client.assert_told_nothing();
        assert_eq!(guarded.auth.counters(), Default::default());
        guarded.assert_the_first_accepted_is_good();
    }
}

fn bogus_keys_are_refused(front_end: FrontEnd) {
    let guarded = GuardedServer::new(front_end, Mechanism::Curve, 30_000);
    let (server, client, other) = (&guarded.fixture.server_keys, &guarded.fixture.client_keys, keys());
    // `curve_client` refuses mismatched pairs, so they are set by hand. The good client's public key alone is not enough.
    for (public, secret) in [
        (client.public, *other.secret.as_bytes()),
        (other.public, *client.secret.as_bytes()),
        ([0; 32].into(), [0; 32]),
        (client.public, [0; 32]),
        ([0xff; 32].into(), [0xff; 32]),
    ] {
        Client::new(&guarded.context, guarded.server.endpoint(), |socket| {
            socket.set_curve_serverkey(server.public.as_bytes())?;
            socket.set_curve_publickey(public.as_bytes())?;
            socket.set_curve_secretkey(&secret)
        })
        .expect_mismatch();
    }
    assert_eq!(guarded.auth.counters(), Default::default());
    // Keys of a wrong size can't be set at all.
    let socket = guarded.context.socket(zmq::REQ).unwrap();
    for key in [&[7; 31][..], &[7; 33], b""] {
        assert_eq!(socket.set_curve_serverkey(key), Err(zmq::Error::EINVAL));
        assert_eq!(socket.set_curve_publickey(key), Err(zmq::Error::EINVAL));
        assert_eq!(socket.set_curve_secretkey(key), Err(zmq::Error::EINVAL));
    }
    guarded.assert_the_first_accepted_is_good();
}

fn long_routing_ids_work(front_end: FrontEnd) {
    for mechanism in MECHANISMS {
        let (context, fixture, auth) = (zmq::Context::new(), Fixture::new(mechanism), Authenticator::new());
        fixture.configure(&auth);
        let _running = front_end.start(&auth, &context);
        let (server_id, client_id) = ([b's'; 255], [b'c'; 255]);
        let server = Server::bind(&context, zmq::ROUTER, Transport::Tcp, |socket| {
            socket.set_identity(&server_id).unwrap();
            fixture.set_up_server(socket)
        });
        let mut client = Client::connect(&context, zmq::DEALER, server.endpoint(), |socket| {
            socket.set_identity(&client_id).unwrap();
            fixture.set_up_client(socket)
        });
        client.expect(Handshake::Authenticated);
        client.send("hello", 0).unwrap();
        let received = server.receive();
        assert_eq!(&received.frames()[0][..], &client_id);
        if mechanism == Mechanism::Plain {
            assert_eq!(received.sender().user_id(), Some(USER));
        }
        assert_eq!(auth.counters().allowed, 1);
    }
}
