//! The sender of a message: the properties that the ZAP reply and the connection attached to it.

use std::net::IpAddr;

use crate::address::{IpcCredentials, PeerAddress};
use crate::ffi;
use crate::metadata::TAG_PROPERTY;

/// A typed view of the properties that libzmq keeps with a received message.
///
/// Messages from a client that a handshake accepted have them on every frame (libzmq 4.3.5: REP, ROUTER, PULL, XPUB,
/// DEALER, …), but only on the socket that has the connection: **`zmq::proxy` and every other relay lose them**, so look at
/// the sender before you pass a message on.
///
/// A routing id is not an identity: clients choose it themselves, and a client may take the id that another had a moment
/// ago. Reply to the routing id of the request, but decide by the user id, which the authenticator set (on a socket that
/// asks it).
///
/// ```
/// use zmq_auth::Sender;
/// # use zmq_auth::{Authenticator, SocketExt, zmq};
/// # let context = zmq::Context::new();
/// # let auth = Authenticator::new();
/// # auth.configure_plain("shop", [("alice", "correct horse")])?;
/// # let _running = auth.start(&context)?;
/// # let (mut server, mut client) = (context.socket(zmq::PULL)?, context.socket(zmq::PUSH)?);
/// # server.plain_server("shop")?;
/// # server.bind("tcp://127.0.0.1:*")?;
/// # client.plain_client("alice", "correct horse")?;
/// # client.connect(&server.endpoint()?)?;
/// # client.send("3 apples", 0)?;
///
/// let message = server.recv_msg(0)?;
/// let sender = Sender::of(&message);
/// assert_eq!((sender.user_id(), sender.address()), (Some("alice"), Some("127.0.0.1")));
/// assert!(sender.ip().is_some_and(|ip| ip.is_loopback()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Sender<'m> {
    message: Option<&'m zmq::Message>,
}

impl<'m> Sender<'m> {
    /// The sender of this message.
    pub fn of(message: &'m zmq::Message) -> Self {
        Sender { message: Some(message) }
    }

    /// The user id that the ZAP reply gave the client: a user name, a Z85 key, a principal, or what your program chose.
    /// `None` for a client without one (NULL), and for one that isn't UTF-8.
    ///
    /// **Trust it only on a socket whose server role was set with [`SocketExt`](crate::SocketExt).** If libzmq doesn't ask
    /// the ZAP handler (a NULL socket without a domain, a client's socket), it returns whatever the peer put into its own
    /// handshake, including a `User-Id`.
    pub fn user_id(&self) -> Option<&'m str> {
        // libzmq keeps an empty one too.
        self.property("User-Id").filter(|user_id| !user_id.is_empty())
    }

    /// The client's address as libzmq gives it: an IP without port, or `localhost:UID:GID:PID` for `ipc://` (only
    /// `localhost` if libzmq was built without `SO_PEERCRED`).
    pub fn address(&self) -> Option<&'m str> {
        self.property("Peer-Address")
    }

    /// The client's IP, without zone and with IPv4-mapped addresses as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        match PeerAddress::parse(self.address()?.as_bytes()) {
            PeerAddress::Ip(ip) => Some(ip),
            PeerAddress::Ipc(_) | PeerAddress::Other => None,
        }
    }

    /// The client's process, for an ipc client.
    pub fn ipc(&self) -> Option<IpcCredentials> {
        match PeerAddress::parse(self.address()?.as_bytes()) {
            PeerAddress::Ipc(credentials) => Some(credentials),
            PeerAddress::Ip(_) | PeerAddress::Other => None,
        }
    }

    /// The mark of the connection that the message came on, if the socket's authenticator uses
    /// [`mark_clients`](crate::Authenticator::mark_clients). No two connections have the same one. No client can know a mark
    /// or take another's, as long as your program keeps it to itself. If clients aren't marked, it is whatever a client claims.
    ///
    /// ```
    /// # use zmq_auth::{Authenticator, Sender, SocketExt, zmq};
    /// # let context = zmq::Context::new();
    /// # let auth = Authenticator::new();
    /// auth.mark_clients()?;
    /// # let _running = auth.start(&context)?;
    /// # let (mut server, client) = (context.socket(zmq::PULL)?, context.socket(zmq::PUSH)?);
    /// # server.null_server("lab")?;
    /// # server.bind("tcp://127.0.0.1:*")?;
    /// # client.connect(&server.endpoint()?)?;
    /// # (0..2).try_for_each(|_| client.send("hello", 0))?;
    /// let (first, second) = (server.recv_msg(0)?, server.recv_msg(0)?);
    /// assert!(Sender::of(&first).mark().is_some());
    /// assert_eq!(Sender::of(&first).mark(), Sender::of(&second).mark());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mark(&self) -> Option<&'m str> {
        self.property(TAG_PROPERTY)
    }

    /// A property by name: metadata of the ZAP reply (from [`Verdict::AllowAs`](crate::Verdict::AllowAs) or the client's
    /// certificate). **Clients can send properties too**; if both have the same name, libzmq keeps the ZAP reply's. Don't
    /// trust a name unless your authenticator sets it for every client.
    pub fn property(&self, name: &str) -> Option<&'m str> {
        ffi::property(self.message?, name)
    }
}

/// A whole message with its sender; from [`SocketExt::recv_with_sender`](crate::SocketExt::recv_with_sender).
#[derive(Debug)]
pub struct Received {
    frames: Vec<zmq::Message>,
}

impl Received {
    pub(crate) fn from(socket: &zmq::Socket, flags: i32) -> zmq::Result<Self> {
        let mut frames = vec![socket.recv_msg(flags)?];
        // The frames of a message arrive together, so none of these calls waits.
        while frames.last().is_some_and(zmq::Message::get_more) {
            frames.push(socket.recv_msg(0)?);
        }
        Ok(Received { frames })
    }

    /// All frames, at least one; from a ROUTER socket, the routing id is the first.
    pub fn frames(&self) -> &[zmq::Message] {
        &self.frames
    }

    /// The frames, with their properties.
    pub fn into_frames(self) -> Vec<zmq::Message> {
        self.frames
    }

    /// As [`Sender::user_id`].
    pub fn user_id(&self) -> Option<&str> {
        self.sender().user_id()
    }

    /// As [`Sender::address`].
    pub fn address(&self) -> Option<&str> {
        self.sender().address()
    }

    /// The sender, with all its properties.
    pub fn sender(&self) -> Sender<'_> {
        // The last frame came from the network; a ROUTER's first frame didn't.
        Sender { message: self.frames.last() }
    }
}
