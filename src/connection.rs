//! The connection that a message came on, and the call that ends it.

use std::os::fd::RawFd;

use crate::address::IpcCredentials;
use crate::error::Result;

/// One client's connection, with a way to end it and no other, which libzmq has no call for.
///
/// Take it from a message **as soon as that is received**, the client's first if you want to be able to disconnect it later,
/// and keep it. It is the number of libzmq's descriptor (`ZMQ_SRCFD`) together with the kernel's cookie of that socket
/// (`SO_COOKIE`). The cookie is compared before anything is done: if the client has left and the number was reused, the
/// other connection isn't touched.
///
/// ```
/// # use zmq_auth::{Authenticator, SocketExt, zmq};
/// use zmq_auth::Connection;
///
/// # let context = zmq::Context::new();
/// # let auth = Authenticator::new();
/// # let _running = auth.start(&context)?;
/// # let (mut server, client) = (context.socket(zmq::PULL)?, context.socket(zmq::PUSH)?);
/// # server.null_server("lab")?;
/// # server.bind("tcp://127.0.0.1:*")?;
/// # client.connect(&server.endpoint()?)?;
/// # client.send("hello", 0)?;
/// let mut message = server.recv_msg(0)?;
/// let connection = Connection::of(&message)?;
/// if !auth.is_still_allowed(&mut message) {
///     connection.disconnect()?; // and its next handshake is refused
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It works on Linux, for TCP and ipc and every mechanism, on sockets that receive from their clients: ROUTER, REP, PULL,
/// XPUB, DEALER, PAIR. PUB and PUSH sockets receive nothing to take it from: use XPUB, or
/// [`SocketExt::rebind`](crate::SocketExt::rebind), which drops everybody. A message that went through `zmq::proxy` has
/// lost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Connection {
    descriptor: RawFd,
    cookie: u64,
}

impl Connection {
    /// The connection that this message came on. `message` may be any frame except a ROUTER's routing id.
    ///
    /// The address of the sender, as libzmq has it, is compared with the connection's. If the client left before this call
    /// and a new connection *from the same address* has reused the descriptor's number, the new one is returned.
    ///
    /// # Errors
    /// [`Error::NoConnection`](crate::Error::NoConnection) if it can't be known: for a message that didn't come over TCP or
    /// ipc, for the unsubscription that libzmq makes for a client that has left, for a closed connection, for an ipc peer
    /// whose process libzmq doesn't know, and on systems other than Linux. [`Error::Connection`](crate::Error::Connection)
    /// if the process has no free descriptor to look at it with.
    pub fn of(message: &zmq::Message) -> Result<Self> {
        system::find(message)
    }

    /// Closes the connection. Nothing more is received from or sent to this client on it, other connections lose nothing,
    /// and an XPUB socket receives the unsubscriptions that libzmq makes for it. A libzmq client reconnects by itself and is
    /// authenticated again, so revoke its credentials first.
    ///
    /// Messages that libzmq has already received from it still arrive. A connection that is already closed is not an error.
    ///
    /// # Errors
    /// [`Error::Connection`](crate::Error::Connection) if it can't be looked at or closed; it may then still be open.
    pub fn disconnect(&self) -> Result<()> {
        system::disconnect(*self)
    }

    /// Whether the connection is still open: to forget closed ones, and to make sure, before sending something, that the
    /// client hasn't been replaced by another that took its routing id. It costs one system call.
    ///
    /// # Errors
    /// [`Error::NoConnection`](crate::Error::NoConnection) on systems other than Linux.
    pub fn is_open(&self) -> Result<bool> {
        system::is_open(*self)
    }

    /// The connection with this descriptor, as a monitor's `CONNECTED` and `ACCEPTED` events report it
    /// (zmq_socket_monitor(3)).
    ///
    /// The event may be old: if a `DISCONNECTED` follows it, the number may belong to another connection.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// use zmq_auth::Connection;
    ///
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// let peer = Connection::of_descriptor(ours.as_raw_fd())?.ipc_peer()?;
    /// assert_eq!(peer.map(|peer| peer.pid), Some(std::process::id()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoConnection`](crate::Error::NoConnection) if it is closed, and on systems other than Linux.
    pub fn of_descriptor(descriptor: RawFd) -> Result<Self> {
        system::of_descriptor(descriptor)
    }

    /// The process at the other end of an ipc connection (`SO_PEERCRED`). For a connection that this process made, it is
    /// the listener as of when it began to listen. `None` over TCP.
    ///
    /// # Errors
    /// [`Error::NoConnection`](crate::Error::NoConnection) if it is closed, and on systems other than Linux;
    /// [`Error::Connection`](crate::Error::Connection) if it can't be looked at.
    pub fn ipc_peer(&self) -> Result<Option<IpcCredentials>> {
        system::ipc_peer(*self)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io::{Error as IoError, ErrorKind};
    use std::net::{Shutdown, TcpStream};
    use std::os::fd::{AsRawFd, OwnedFd, RawFd};

    use super::Connection;
    use crate::address::{IpcCredentials, PeerAddress};
    use crate::error::{Error, Result};
    use crate::ffi;
    use crate::sender::Sender;

    /// libzmq's own property, set before those that the peer sends.
    const DESCRIPTOR: &str = "__fd";
    const ENDED: Error = Error::NoConnection("it has ended");

    pub(super) fn find(message: &zmq::Message) -> Result<Connection> {
        let sender = Sender::of(message);
        let descriptor = sender.property(DESCRIPTOR).and_then(|number| number.parse().ok());
        let (Some(descriptor), Some(address)) = (descriptor, sender.address()) else {
            return Err(Error::NoConnection(
                "libzmq names no sender: the message didn't come over a network, or from a client",
            ));
        };
        let Some(socket) = duplicate(descriptor)? else { return Err(ENDED) };
        let cookie = ffi::cookie(socket.as_raw_fd()).map_err(|_| ENDED)?;
        match (PeerAddress::parse(address.as_bytes()), peer(socket)) {
            (PeerAddress::Other, _) => Err(Error::NoConnection("libzmq doesn't know the sender's process")),
            (expected, Some(peer)) if peer == expected => Ok(Connection { descriptor, cookie }),
            _ => Err(ENDED),
        }
    }

    pub(super) fn disconnect(connection: Connection) -> Result<()> {
        let Some(socket) = open(connection)? else { return Ok(()) };
        // `shutdown` works for any kind of socket.
        match TcpStream::from(socket).shutdown(Shutdown::Both) {
            Err(error) if error.kind() != ErrorKind::NotConnected => {
                Err(Error::Connection { action: "end the connection", source: error })
            }
            _ => Ok(()),
        }
    }

    /// A descriptor of the connection, if it is still open. It is a copy, so that what is checked is what is shut down:
    /// the number itself may be reused between the two.
    fn open(connection: Connection) -> Result<Option<OwnedFd>> {
        let socket = duplicate(connection.descriptor)?;
        Ok(socket.filter(|socket| ffi::cookie(socket.as_raw_fd()).is_ok_and(|cookie| cookie == connection.cookie)))
    }

    /// One system call: looks only at the number.
    pub(super) fn is_open(connection: Connection) -> Result<bool> {
        Ok(ffi::cookie(connection.descriptor).is_ok_and(|cookie| cookie == connection.cookie))
    }

    pub(super) fn of_descriptor(descriptor: RawFd) -> Result<Connection> {
        let cookie = ffi::cookie(descriptor).map_err(|_| ENDED)?;
        Ok(Connection { descriptor, cookie })
    }

    pub(super) fn ipc_peer(connection: Connection) -> Result<Option<IpcCredentials>> {
        let Some(socket) = open(connection)? else { return Err(ENDED) };
        let credentials = ffi::peer_credentials(&socket);
        match TcpStream::from(socket).peer_addr() {
            Ok(_) => Ok(None),
            // A family other than IP.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(credentials.ok().and_then(readable)),
            Err(_) => Err(ENDED),
        }
    }

    fn duplicate(descriptor: RawFd) -> Result<Option<OwnedFd>> {
        match ffi::duplicate(descriptor) {
            Ok(copy) => Ok(Some(copy)),
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(None),
            Err(source) => Err(Error::Connection { action: "look at the connection", source }),
        }
    }

    /// The peer's address, in libzmq's form.
    fn peer(socket: OwnedFd) -> Option<PeerAddress> {
        let credentials = ffi::peer_credentials(&socket);
        match TcpStream::from(socket).peer_addr() {
            Ok(address) => Some(PeerAddress::Ip(address.ip().to_canonical())),
            // A family other than IP.
            Err(error) if error.kind() == ErrorKind::InvalidInput => ipc(credentials),
            Err(_) => None,
        }
    }

    fn ipc(credentials: Result<(u32, u32, i32), IoError>) -> Option<PeerAddress> {
        credentials.ok().and_then(readable).map(PeerAddress::Ipc)
    }

    fn readable((uid, gid, pid): (u32, u32, i32)) -> Option<IpcCredentials> {
        Some(IpcCredentials { uid, gid, pid: u32::try_from(pid).ok()? })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::os::fd::RawFd;

    use super::Connection;
    use crate::address::IpcCredentials;
    use crate::error::{Error, Result};

    const UNKNOWN: Error = Error::NoConnection("this system can't distinguish a connection from its successor");

    pub(super) fn find(_: &zmq::Message) -> Result<Connection> {
        Err(UNKNOWN)
    }

    pub(super) fn disconnect(_: Connection) -> Result<()> {
        Err(UNKNOWN)
    }

    pub(super) fn is_open(_: Connection) -> Result<bool> {
        Err(UNKNOWN)
    }

    pub(super) fn of_descriptor(_: RawFd) -> Result<Connection> {
        Err(UNKNOWN)
    }

    pub(super) fn ipc_peer(_: Connection) -> Result<Option<IpcCredentials>> {
        Err(UNKNOWN)
    }
}
