//! A guarded server and the one client that it accepts, for each mechanism.

use zmq_auth::{Authenticator, KeyPair, Result, SocketExt};

use super::log;
use super::sockets::{Client, Server, Transport};

/// The mechanism of a fixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Null,
    Plain,
    Curve,
}

pub const MECHANISMS: [Mechanism; 3] = [Mechanism::Null, Mechanism::Plain, Mechanism::Curve];

/// The domain of every fixture.
pub const DOMAIN: &str = "fixture";
pub const USER: &str = "alice";

/// The credentials of both ends.
pub struct Fixture {
    pub mechanism: Mechanism,
    pub server_keys: KeyPair,
    pub client_keys: KeyPair,
    pub password: String,
}

impl Fixture {
    pub fn new(mechanism: Mechanism) -> Self {
        Fixture { mechanism, server_keys: log::keys(), client_keys: log::keys(), password: log::password("fixture") }
    }

    /// Configures the policy that accepts the client.
    pub fn configure(&self, authenticator: &Authenticator) {
        match self.mechanism {
            Mechanism::Null => {}
            Mechanism::Plain => authenticator.configure_plain(DOMAIN, [(USER, self.password.as_str())]).unwrap(),
            Mechanism::Curve => authenticator.configure_curve_keys(DOMAIN, [self.client_keys.public]).unwrap(),
        }
    }

    pub fn set_up_server(&self, socket: &mut zmq::Socket) -> Result<()> {
        match self.mechanism {
            Mechanism::Null => socket.null_server(DOMAIN),
            Mechanism::Plain => socket.plain_server(DOMAIN),
            Mechanism::Curve => socket.curve_server(&self.server_keys, DOMAIN),
        }
    }

    pub fn set_up_client(&self, socket: &mut zmq::Socket) -> Result<()> {
        match self.mechanism {
            Mechanism::Null => Ok(()),
            Mechanism::Plain => socket.plain_client(USER, &self.password),
            Mechanism::Curve => socket.curve_client(&self.client_keys, &self.server_keys.public),
        }
    }

    /// A guarded REP socket on TCP with this handshake timeout.
    pub fn server(&self, context: &zmq::Context, handshake_ms: i32) -> Server {
        Server::bind(context, zmq::REP, Transport::Tcp, |socket| {
            socket.set_handshake_ivl(handshake_ms).unwrap();
            self.set_up_server(socket)
        })
    }

    /// A client with the right credentials.
    pub fn client(&self, context: &zmq::Context, endpoint: &str) -> Client {
        Client::new(context, endpoint, |socket| self.set_up_client(socket))
    }

    /// A client with the right credentials that doesn't reconnect.
    pub fn client_once(&self, context: &zmq::Context, endpoint: &str) -> Client {
        Client::new(context, endpoint, |socket| {
            socket.set_reconnect_ivl(-1).unwrap();
            self.set_up_client(socket)
        })
    }
}
