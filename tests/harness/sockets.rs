//! Both ends of a connection, each with its monitor: a refusal is an event of the monitor, never silence.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use zmq_auth::{Handshake, KeyPair, MonitoredSocket, PublicKey, Received, SocketExt};

use super::{DEADLINE, log};

/// Where a server listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Tcp6,
    Ipc,
}

/// A bound socket.
pub struct Server {
    socket: MonitoredSocket,
    endpoint: String,
    _directory: Option<TempDir>,
}

/// A connected socket.
pub struct Client {
    socket: MonitoredSocket,
}

impl Server {
    /// A REP socket on TCP.
    pub fn new<E>(context: &zmq::Context, set_up: impl FnOnce(&mut zmq::Socket) -> Result<(), E>) -> Self
    where
        E: std::fmt::Debug,
    {
        Server::bind(context, zmq::REP, Transport::Tcp, set_up)
    }

    /// Binds a socket after it was set up.
    pub fn bind<E>(
        context: &zmq::Context,
        kind: zmq::SocketType,
        transport: Transport,
        set_up: impl FnOnce(&mut zmq::Socket) -> Result<(), E>,
    ) -> Self
    where
        E: std::fmt::Debug,
    {
        let mut socket = socket(context, kind);
        set_up(&mut socket).expect("the server is set up");
        let mut directory = None;
        let wildcard = match transport {
            Transport::Tcp => "tcp://127.0.0.1:*".to_owned(),
            Transport::Tcp6 => {
                socket.set_ipv6(true).unwrap();
                "tcp://[::]:*".to_owned()
            }
            Transport::Ipc => {
                let made = directory.insert(tempfile::tempdir().unwrap());
                format!("ipc://{}", made.path().join("server").display())
            }
        };
        let socket = MonitoredSocket::new(context, socket).unwrap();
        socket.bind(&wildcard).unwrap();
        let endpoint = socket.get_last_endpoint().unwrap().unwrap();
        Server { socket, endpoint, _directory: directory }
    }

    /// The endpoint that clients connect to.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The port of a TCP server.
    pub fn port(&self) -> u16 {
        self.endpoint.rsplit(':').next().unwrap().parse().expect("a TCP endpoint ends in its port")
    }

    /// The endpoint for clients with this source address.
    pub fn endpoint_from(&self, address: &str) -> String {
        format!("tcp://{address}:0;127.0.0.1:{}", self.port())
    }

    /// The socket file of an ipc server.
    pub fn path(&self) -> PathBuf {
        self.endpoint.strip_prefix("ipc://").expect("an ipc endpoint").into()
    }

    /// The next message, with its sender.
    pub fn receive(&self) -> Received {
        self.socket.recv_with_sender(0).expect("a message within the deadline")
    }

    /// Waits for the outcome of the next handshake at this end.
    #[track_caller]
    pub fn expect(&mut self, wanted: Handshake) {
        expect(&mut self.socket, wanted);
    }

    /// Asserts that no message has arrived.
    #[track_caller]
    pub fn assert_nothing_received(&self) {
        assert_eq!(self.socket.recv_bytes(zmq::DONTWAIT), Err(zmq::Error::EAGAIN), "a message came through");
    }
}

impl Client {
    /// A REQ socket.
    pub fn new<E>(
        context: &zmq::Context,
        endpoint: &str,
        set_up: impl FnOnce(&mut zmq::Socket) -> Result<(), E>,
    ) -> Self
    where
        E: std::fmt::Debug,
    {
        Client::connect(context, zmq::REQ, endpoint, set_up)
    }

    /// Connects a socket after it was set up.
    pub fn connect<E>(
        context: &zmq::Context,
        kind: zmq::SocketType,
        endpoint: &str,
        set_up: impl FnOnce(&mut zmq::Socket) -> Result<(), E>,
    ) -> Self
    where
        E: std::fmt::Debug,
    {
        let mut socket = socket(context, kind);
        socket.set_ipv6(true).unwrap();
        set_up(&mut socket).expect("the client is set up");
        let socket = MonitoredSocket::new(context, socket).unwrap();
        socket.connect(endpoint).unwrap();
        Client { socket }
    }

    /// A client without a security mechanism.
    pub fn null(context: &zmq::Context, endpoint: &str) -> Self {
        Client::new(context, endpoint, |_| Ok::<(), zmq::Error>(()))
    }

    /// A client with a user name and a password, which must not be logged.
    pub fn plain(context: &zmq::Context, endpoint: &str, username: &str, password: &str) -> Self {
        Client::new(context, endpoint, |socket| socket.plain_client(username, password))
    }

    /// A client with keys.
    pub fn curve(context: &zmq::Context, endpoint: &str, keys: &KeyPair, server: &PublicKey) -> Self {
        Client::new(context, endpoint, |socket| socket.curve_client(keys, server))
    }

    /// Waits for the outcome of the handshake.
    #[track_caller]
    pub fn expect(&mut self, wanted: Handshake) {
        expect(&mut self.socket, wanted);
    }

    /// Waits for a refusal with 400.
    #[track_caller]
    pub fn expect_denied(&mut self) {
        self.expect(Handshake::Denied(400));
    }

    /// Waits for the report that the two ends don't match.
    #[track_caller]
    pub fn expect_mismatch(&mut self) {
        let handshake = self.socket.wait_for_handshake(DEADLINE).unwrap();
        assert!(matches!(handshake, Some(Handshake::Failed(_))), "{handshake:?}");
    }

    /// Asserts that this client was told neither that it was accepted nor that it was refused. (After 300 the server hangs up
    /// at once if its handler was quick, and stays silent if not: the connection may end without a report.)
    #[track_caller]
    pub fn assert_told_nothing(&mut self) {
        while let Some(handshake) = self.socket.wait_for_handshake(Duration::ZERO).unwrap() {
            assert_eq!(handshake, Handshake::Failed(None));
        }
    }

    /// Waits until this client is accepted, then sends a message to the server and back; returns what the server received.
    #[track_caller]
    pub fn round_trip(&mut self, server: &Server) -> Received {
        self.expect(Handshake::Authenticated);
        self.exchange(server)
    }

    /// Sends a message to the server and back, on an existing connection.
    #[track_caller]
    pub fn exchange(&mut self, server: &Server) -> Received {
        self.socket.send("ping", 0).unwrap();
        let received = server.receive();
        assert_eq!(&received.frames().last().unwrap()[..], b"ping");
        server.socket.send("pong", 0).unwrap();
        assert_eq!(self.socket.recv_bytes(0).expect("an answer within the deadline"), b"pong");
        received
    }
}

/// A socket that gives up at the deadline, and never delays the end of its context.
pub fn socket(context: &zmq::Context, kind: zmq::SocketType) -> zmq::Socket {
    log::install();
    let socket = context.socket(kind).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(DEADLINE.as_millis() as i32).unwrap();
    socket.set_sndtimeo(DEADLINE.as_millis() as i32).unwrap();
    socket
}

/// Waits for the outcome of this socket's next handshake.
#[track_caller]
pub fn expect(socket: &mut MonitoredSocket, wanted: Handshake) {
    assert_eq!(socket.wait_for_handshake(DEADLINE).unwrap(), Some(wanted));
}

/// Asserts that there was no outcome since the last one that was returned.
#[track_caller]
pub fn assert_no_handshake(socket: &mut MonitoredSocket) {
    assert_eq!(socket.wait_for_handshake(Duration::ZERO).unwrap(), None);
}

impl Deref for Server {
    type Target = MonitoredSocket;

    fn deref(&self) -> &MonitoredSocket {
        &self.socket
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut MonitoredSocket {
        &mut self.socket
    }
}

impl Deref for Client {
    type Target = MonitoredSocket;

    fn deref(&self) -> &MonitoredSocket {
        &self.socket
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut MonitoredSocket {
        &mut self.socket
    }
}
