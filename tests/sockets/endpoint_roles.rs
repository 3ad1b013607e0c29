//! Endpoints of one socket with their own roles.

use std::time::Duration;

use zmq_auth::{Authenticator, Error, Handshake, KeyPair, MonitoredSocket, Role, SocketExt};

use crate::harness::log::{keys, password};
use crate::harness::sockets::{Client, Server, Transport, socket};
use crate::harness::{DEADLINE, domain};

#[test]
fn one_subscriber_has_two_publishers_with_different_keys() {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("publishers"));
    let mine = keys();
    auth.configure_curve_keys(&domain, [mine.public]).unwrap();
    let _running = auth.start(&context).unwrap();
    let publishers = [keys(), keys()].map(|keys| {
        let server = Server::bind(&context, zmq::XPUB, Transport::Tcp, |socket| socket.curve_server(&keys, &domain));
        (server, keys)
    });
    let subscriber = socket(&context, zmq::SUB);
    subscriber.set_subscribe(b"").unwrap();
    subscriber.set_reconnect_ivl(50).unwrap();
    let mut subscriber = MonitoredSocket::new(&context, subscriber).unwrap();
    for (server, keys) in &publishers {
        subscriber.connect_as(&Role::curve_client(&mine, &keys.public).unwrap(), server.endpoint()).unwrap();
    }
    assert_eq!(subscriber.get_reconnect_ivl(), Ok(50), "the program's own stays");
    for _ in &publishers {
        assert_eq!(subscriber.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));
    }
    for (server, _) in &publishers {
        assert_eq!(server.recv_bytes(0).unwrap(), b"\x01");
        server.send(server.endpoint(), 0).unwrap();
        assert_eq!(subscriber.recv_bytes(0).unwrap(), server.endpoint().as_bytes());
    }
}

/// A REP socket, CURVE on TCP and NULL on ipc.
struct Mixed {
    context: zmq::Context,
    server: MonitoredSocket,
    server_keys: KeyPair,
    alice: KeyPair,
    tcp: zmq_auth::Endpoint,
    ipc: zmq_auth::Endpoint,
}

impl Mixed {
    fn new(auth: &Authenticator, context: zmq::Context, directory: &tempfile::TempDir) -> Self {
        let (domain, server_keys, alice) = (domain("mixed"), keys(), keys());
        auth.configure_curve_keys(&domain, [alice.public]).unwrap();
        let mut server = MonitoredSocket::new(&context, socket(&context, zmq::REP)).unwrap();
        let tcp = server.bind_as(&Role::curve_server(&server_keys, &domain).unwrap(), "tcp://127.0.0.1:*").unwrap();
        let path = format!("ipc://{}", directory.path().join("server").display());
        let ipc = server.bind_as(&Role::null_server(&domain).unwrap(), &path).unwrap();
        Mixed { context, server, server_keys, alice, tcp, ipc }
    }

    fn curve(&self, endpoint: &str) -> Client {
        Client::curve(&self.context, endpoint, &self.alice, &self.server_keys.public)
    }

    fn null(&self, endpoint: &str) -> Client {
        Client::null(&self.context, endpoint)
    }

    /// Each endpoint accepts its own mechanism and no other.
    #[track_caller]
    fn assert_guarded(&self) {
        for mut client in [self.curve(self.tcp.name()), self.null(self.ipc.name())] {
            client.expect(Handshake::Authenticated);
            client.send("ping", 0).unwrap();
            assert_eq!(self.server.recv_bytes(0).unwrap(), b"ping");
            self.server.send("pong", 0).unwrap();
            assert_eq!(client.recv_bytes(0).unwrap(), b"pong");
        }
        self.null(self.tcp.name()).expect_mismatch();
        self.curve(self.ipc.name()).expect_mismatch();
    }
}

#[test]
fn one_server_has_null_on_ipc_and_curve_on_tcp_and_each_comes_back_as_it_was() {
    let (auth, directory, context) = (Authenticator::new(), tempfile::tempdir().unwrap(), zmq::Context::new());
    let _running = auth.start(&context).unwrap();
    let mut mixed = Mixed::new(&auth, context, &directory);
    mixed.assert_guarded();
    let (tcp, ipc) = (mixed.tcp.clone(), mixed.ipc.clone());
    tcp.rebind(&mut mixed.server, DEADLINE).unwrap();
    mixed.assert_guarded();
    ipc.rebind(&mut mixed.server, DEADLINE).unwrap();
    mixed.assert_guarded();

    // Calls that can't know the role refuse.
    assert!(matches!(mixed.server.rebind(tcp.name(), Duration::ZERO), Err(Error::RolePerEndpoint)));
    assert!(matches!(mixed.server.plain_server("late"), Err(Error::AlreadyBound)));
    mixed.assert_guarded();
}

#[test]
fn an_endpoint_without_a_role_lets_nobody_in() {
    let (auth, directory, context) = (Authenticator::new(), tempfile::tempdir().unwrap(), zmq::Context::new());
    let secret = password("a");
    auth.configure_plain("*", [("alice", secret.as_str())]).unwrap();
    let _running = auth.start(&context).unwrap();
    let mixed = Mixed::new(&auth, context, &directory);
    mixed.server.bind("tcp://127.0.0.1:*").unwrap();
    let forgotten = mixed.server.endpoint().unwrap();
    mixed.null(&forgotten).expect_mismatch();
    mixed.curve(&forgotten).expect_mismatch();
    Client::plain(&mixed.context, &forgotten, "alice", &secret).expect_mismatch();
}

#[test]
fn two_server_keys_are_served_while_clients_change_over() {
    let (context, auth, domain) = (zmq::Context::new(), Authenticator::new(), domain("rotation"));
    let (old, new, alice) = (keys(), keys(), keys());
    auth.configure_curve_keys(&domain, [alice.public]).unwrap();
    let _running = auth.start(&context).unwrap();
    // A socket that was bound in the usual way can get a second endpoint, too.
    let mut server = socket(&context, zmq::REP);
    server.curve_server(&old, &domain).unwrap();
    server.bind("tcp://127.0.0.1:*").unwrap();
    let first = server.endpoint().unwrap();
    let second = server.bind_as(&Role::curve_server(&new, &domain).unwrap(), "tcp://127.0.0.1:*").unwrap();
    for (endpoint, right, wrong) in [(first.as_str(), &old, &new), (second.name(), &new, &old)] {
        Client::curve(&context, endpoint, &alice, &right.public).expect(Handshake::Authenticated);
        Client::curve(&context, endpoint, &alice, &wrong.public).expect_mismatch();
    }
}

#[test]
fn transports_without_a_mechanism_are_refused() {
    let context = zmq::Context::new();
    let mut server = socket(&context, zmq::REP);
    let role = Role::null_server("lab").unwrap();
    for endpoint in ["inproc://open", "udp://127.0.0.1:1", "pgm://lo;239.0.0.1:1", "norm://127.0.0.1:1"] {
        for error in [server.bind_as(&role, endpoint).map(drop), server.connect_as(&role, endpoint)] {
            assert!(matches!(error, Err(Error::NoMechanism { .. })), "{endpoint}: {error:?}");
        }
    }
    let mut stream = socket(&context, zmq::STREAM);
    assert!(matches!(stream.bind_as(&role, "tcp://127.0.0.1:*"), Err(Error::NoMechanism { .. })));
    assert!(server.bind_as(&role, "no transport").is_err());
    assert!(server.endpoint().is_err(), "nothing was bound");
}
