//! Clients that have no business here: none of them gets in, none is asked about, and the rightful one still enters.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use zmq_auth::{Authenticator, Handshake, SocketExt};

use crate::harness::DEADLINE;
use crate::harness::doors::{Door, MECHANISMS, Mechanism, USER};
use crate::harness::faces::{Face, behaviours};
use crate::harness::log::keys;
use crate::harness::proxy::{self, Damage};
use crate::harness::sockets::{Client, Server, Transport};

behaviours! {
    a_client_that_speaks_no_zmtp_is_refused,
    clients_of_zmtp_1_and_2_are_refused,
    garbled_commands_are_refused,
    a_client_of_another_mechanism_is_refused_and_nobody_is_asked,
    a_client_that_is_set_up_as_a_server_is_refused,
    bogus_keys_are_refused,
    long_routing_ids_work,
}

/// A door with its handler: the rightful client may enter.
struct Scene {
    context: zmq::Context,
    door: Door,
    auth: Authenticator,
    server: Server,
    _running: crate::harness::faces::Running,
}

impl Scene {
    fn new(face: Face, mechanism: Mechanism, handshake_ms: i32) -> Self {
        let (context, door, auth) = (zmq::Context::new(), Door::new(mechanism), Authenticator::new());
        door.configure(&auth);
        let running = face.start(&auth, &context);
        let server = door.server(&context, handshake_ms);
        Scene { context, door, auth, server, _running: running }
    }

    /// Nobody was let in so far; the rightful client is.
    #[track_caller]
    fn assert_only_the_good_one_enters(&self) {
        self.server.assert_nothing_received();
        assert_eq!(self.auth.counters().allowed, 0);
        self.door.client(&self.context, self.server.endpoint()).round_trip(&self.server);
        assert_eq!(self.auth.counters().allowed, 1);
    }

    /// Sends bytes and reads until the server hangs up.
    #[track_caller]
    fn is_hung_up_on(&self, bytes: &[u8]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.server.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // The server may hang up before all is written.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                "not hung up on: {error}"
            ),
        }
    }
}

fn a_client_that_speaks_no_zmtp_is_refused(face: Face) {
    for mechanism in MECHANISMS {
        let scene = Scene::new(face, mechanism, 30_000);
        scene.is_hung_up_on(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
        scene.is_hung_up_on(&[b'x'; 4096]);
        scene.is_hung_up_on(&[0; 4096]);
        scene.is_hung_up_on(&[0xff; 4096]);
        scene.assert_only_the_good_one_enters();
    }
}

fn clients_of_zmtp_1_and_2_are_refused(face: Face) {
    for mechanism in MECHANISMS {
        let scene = Scene::new(face, mechanism, 30_000);
        // ZMTP 1.0: an anonymous identity, then a message. (RFC 13)
        scene.is_hung_up_on(b"\x01\x00\x01\x01\x05\x00ping");
        // ZMTP 1.0 with a long length, and 2.0 with signature, revision and socket type. (RFC 15)
        scene.is_hung_up_on(b"\xff\0\0\0\0\0\0\0\x01\x00\x01\x01\x05\x00ping");
        scene.is_hung_up_on(b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x03\x00\x00\x01\x00\x00\x04ping");
        scene.is_hung_up_on(b"\xff\0\0\0\0\0\0\0\x01\x7f\x00\x03\x00\x00\x01\x00\x00\x04ping");
        scene.assert_only_the_good_one_enters();
    }
}

/// The greeting of ZMTP 3.1 as client. (RFC 23)
fn greeting(mechanism: &str) -> Vec<u8> {
    let mut bytes = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01".to_vec();
    bytes.extend_from_slice(mechanism.as_bytes());
    bytes.resize(64, 0);
    bytes
}

fn garbled_commands_are_refused(face: Face) {
    let scene = Scene::new(face, Mechanism::Curve, 30_000);
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
        scene.is_hung_up_on(&hello(length));
    }
    // INITIATE before HELLO, an unknown command, a command without a name, and traffic without a handshake.
    for body in [&b"\x04\x0c\x08INITIATEabc"[..], b"\x04\x06\x05WORLD", b"\x04\x00", b"\x04\x01\xff", b"\x00\x04ping"] {
        let mut bytes = greeting("CURVE");
        bytes.extend_from_slice(body);
        scene.is_hung_up_on(&bytes);
    }
    // Damage on the way: the boxes of HELLO and INITIATE don't open.
    for damage in [
        Damage::Flip("HELLO"),
        Damage::Truncate("HELLO"),
        Damage::Flip("INITIATE"),
        Damage::Truncate("INITIATE"),
        Damage::Repeat("HELLO"),
    ] {
        let endpoint = format!("tcp://{}", proxy::start(scene.server.port(), damage));
        let mut client = scene.door.client_once(&scene.context, &endpoint);
        client.expect_mismatch();
        assert_eq!(scene.auth.counters(), Default::default(), "{damage:?}: nobody is asked");
    }
    scene.assert_only_the_good_one_enters();

    let scene = Scene::new(face, Mechanism::Plain, 30_000);
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
        scene.is_hung_up_on(&bytes);
    }
    assert_eq!(scene.auth.counters(), Default::default());
    scene.assert_only_the_good_one_enters();
}

fn a_client_of_another_mechanism_is_refused_and_nobody_is_asked(face: Face) {
    for at_the_server in MECHANISMS {
        for at_the_client in MECHANISMS.into_iter().filter(|other| *other != at_the_server) {
            let scene = Scene::new(face, at_the_server, 30_000);
            let door = Door { mechanism: at_the_client, ..Door::new(at_the_client) };
            Client::new(&scene.context, scene.server.endpoint(), |socket| match at_the_client {
                Mechanism::Curve => socket.curve_client(&door.client_keys, &scene.door.server_keys.public),
                _ => door.set_up_client(socket),
            })
            .expect_mismatch();
            assert_eq!(scene.auth.counters(), Default::default(), "{at_the_client:?} against {at_the_server:?}");
            scene.assert_only_the_good_one_enters();
        }
    }
}

fn a_client_that_is_set_up_as_a_server_is_refused(face: Face) {
    for mechanism in [Mechanism::Plain, Mechanism::Curve] {
        let mut scene = Scene::new(face, mechanism, 2_000);
        let mut client = Client::new(&scene.context, scene.server.endpoint(), |socket| {
            socket.set_reconnect_ivl(-1).unwrap();
            scene.door.set_up_server(socket)
        });
        // Each waits for the other's first word, until the server's time is over.
        scene.server.expect(Handshake::Failed(None));
        client.assert_told_nothing();
        assert_eq!(scene.auth.counters(), Default::default());
        scene.assert_only_the_good_one_enters();
    }
}

fn bogus_keys_are_refused(face: Face) {
    let scene = Scene::new(face, Mechanism::Curve, 30_000);
    let (server, client, other) = (&scene.door.server_keys, &scene.door.client_keys, keys());
    // `curve_client` refuses pairs that are none, so they are set by hand. The rightful public key alone opens nothing.
    for (public, secret) in [
        (client.public, *other.secret.as_bytes()),
        (other.public, *client.secret.as_bytes()),
        ([0; 32].into(), [0; 32]),
        (client.public, [0; 32]),
        ([0xff; 32].into(), [0xff; 32]),
    ] {
        Client::new(&scene.context, scene.server.endpoint(), |socket| {
            socket.set_curve_serverkey(server.public.as_bytes())?;
            socket.set_curve_publickey(public.as_bytes())?;
            socket.set_curve_secretkey(&secret)
        })
        .expect_mismatch();
    }
    assert_eq!(scene.auth.counters(), Default::default());
    // Keys of a wrong size can't be set at all.
    let socket = scene.context.socket(zmq::REQ).unwrap();
    for key in [&[7; 31][..], &[7; 33], b""] {
        assert_eq!(socket.set_curve_serverkey(key), Err(zmq::Error::EINVAL));
        assert_eq!(socket.set_curve_publickey(key), Err(zmq::Error::EINVAL));
        assert_eq!(socket.set_curve_secretkey(key), Err(zmq::Error::EINVAL));
    }
    scene.assert_only_the_good_one_enters();
}

fn long_routing_ids_work(face: Face) {
    for mechanism in MECHANISMS {
        let (context, door, auth) = (zmq::Context::new(), Door::new(mechanism), Authenticator::new());
        door.configure(&auth);
        let _running = face.start(&auth, &context);
        let (server_id, client_id) = ([b's'; 255], [b'c'; 255]);
        let server = Server::bind(&context, zmq::ROUTER, Transport::Tcp, |socket| {
            socket.set_identity(&server_id).unwrap();
            door.set_up_server(socket)
        });
        let mut client = Client::connect(&context, zmq::DEALER, server.endpoint(), |socket| {
            socket.set_identity(&client_id).unwrap();
            door.set_up_client(socket)
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
