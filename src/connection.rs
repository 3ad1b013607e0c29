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
    /// Takes what the other calls need: two descriptors, which all connections share. The first of them would take these
    /// too, but fails where there are none left then; a server calls this at its start.
    ///
    /// ```
    /// zmq_auth::Connection::prepare()?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Connection`](crate::Error::Connection) where the process has no descriptors left,
    /// [`Error::NoConnection`](crate::Error::NoConnection) on a system without `SO_COOKIE`, as some sandboxes are, or other
    /// than Linux: there, no client can be cut off.
    pub fn prepare() -> Result<()> {
        system::prepare()
    }

    /// The connection that this message came on. Of a message with several frames, any frame but a ROUTER's routing id.
    ///
    /// The address of the sender, as libzmq has it, is compared with the connection's. If the client left before this call
    /// and a new connection *from the same address* has reused the descriptor's number, the new one is returned.
    ///
    /// # Errors
    /// [`Error::NoConnection`](crate::Error::NoConnection) where it can't be known: a message that didn't come over TCP
    /// or ipc, the unsubscription that libzmq makes for a client that has left, a connection that has ended, an ipc peer
    /// whose process libzmq doesn't know, a system other than Linux. [`Error::Connection`](crate::Error::Connection) when
    /// the process has no descriptor left to look at it with, and [`prepare`](Self::prepare) took none.
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
    use std::os::fd::{AsRawFd, RawFd};
    use std::os::unix::net::UnixStream;
    use std::sync::{Mutex, PoisonError};

    use super::Connection;
    use crate::address::{IpcCredentials, PeerAddress};
    use crate::error::{Error, Result};
    use crate::ffi;
    use crate::sender::Sender;

    /// libzmq's own property, set before those that the peer sends.
    const DESCRIPTOR: &str = "__fd";
    const ENDED: Error = Error::NoConnection("it has ended");

    pub(super) fn prepare() -> Result<()> {
        let (probe, _other) = UnixStream::pair().map_err(unseen)?;
        match with_copy(probe.as_raw_fd(), |socket| ffi::cookie(socket.as_raw_fd()))? {
            Some(Ok(_)) => Ok(()),
            _ => Err(Error::NoConnection("this system has no SO_COOKIE")),
        }
    }

    pub(super) fn find(message: &zmq::Message) -> Result<Connection> {
        let sender = Sender::of(message);
        let descriptor = sender.property(DESCRIPTOR).and_then(|number| number.parse().ok());
        let (Some(descriptor), Some(address)) = (descriptor, sender.address()) else {
            return Err(Error::NoConnection(
                "libzmq gives no descriptor for the sender: the message didn't come over the network, or not from a client",
            ));
        };
        let seen = with_copy(descriptor, |socket| Some((ffi::cookie(socket.as_raw_fd()).ok()?, peer(socket))))?;
        let Some((cookie, peer)) = seen.flatten() else { return Err(ENDED) };
        match (PeerAddress::parse(address.as_bytes()), peer) {
            (PeerAddress::Other, _) => Err(Error::NoConnection("libzmq doesn't know the sender's process")),
            (expected, Some(peer)) if peer == expected => Ok(Connection { descriptor, cookie }),
            _ => Err(ENDED),
        }
    }

    pub(super) fn disconnect(connection: Connection) -> Result<()> {
        match with(connection, |socket| socket.shutdown(Shutdown::Both))? {
            Some(Err(error)) if error.kind() != ErrorKind::NotConnected => {
                Err(Error::Connection { action: "end the connection", source: error })
            }
            _ => Ok(()),
        }
    }

    /// Looks at the connection, if it is still there. What is looked at and what is shut down is a copy: the number itself
    /// may become another's between the two.
    fn with<T>(connection: Connection, look: impl FnOnce(&TcpStream) -> T) -> Result<Option<T>> {
        let is_it =
            |socket: &TcpStream| ffi::cookie(socket.as_raw_fd()).is_ok_and(|cookie| cookie == connection.cookie);
        with_copy(connection.descriptor, |socket| is_it(socket).then(|| look(socket))).map(Option::flatten)
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
        match with(connection, peer)?.flatten() {
            Some(PeerAddress::Ip(_)) => Ok(None),
            Some(PeerAddress::Ipc(credentials)) => Ok(Some(credentials)),
            Some(PeerAddress::Other) | None => Err(ENDED),
        }
    }

    /// `None` where nothing is open at the number.
    fn with_copy<T>(descriptor: RawFd, look: impl FnOnce(&TcpStream) -> T) -> Result<Option<T>> {
        static PLACE: Mutex<Option<ffi::CopyPlace>> = Mutex::new(None);
        let mut guard = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = match guard.take() {
            Some(place) => place,
            None => ffi::CopyPlace::new().map_err(unseen)?,
        };
        let seen = match place.with_copy(descriptor, look) {
            Ok(seen) => Some(seen),
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => None,
            Err(source) => return Err(unseen(source)),
        };
        *guard = Some(place);
        Ok(seen)
    }

    fn unseen(source: IoError) -> Error {
        Error::Connection { action: "examine the connection", source }
    }

    /// The other end, as libzmq would name it.
    fn peer(socket: &TcpStream) -> Option<PeerAddress> {
        match socket.peer_addr() {
            Ok(address) => Some(PeerAddress::Ip(address.ip().to_canonical())),
            // Of another family than IP.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let (uid, gid, pid) = ffi::peer_credentials(socket.as_raw_fd()).ok()?;
                Some(PeerAddress::Ipc(IpcCredentials { uid, gid, pid: u32::try_from(pid).ok()? }))
            }
            Err(_) => None,
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::os::fd::RawFd;

    use super::Connection;
    use crate::address::IpcCredentials;
    use crate::error::{Error, Result};

    const UNKNOWN: Error = Error::NoConnection("this system can't distinguish a connection from its successor");

    pub(super) fn prepare() -> Result<()> {
        Err(UNKNOWN)
    }

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
