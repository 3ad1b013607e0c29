//! Socket roles that are safe by construction: one call each, before bind or connect.
//!
//! # What libzmq does by itself
//!
//! A CURVE server with no ZAP handler lets **every** client in. So does a NULL server, and a CURVE server whose domain is
//! empty, even when a handler runs that would say no. The calls here set a domain that isn't empty and
//! `ZMQ_ZAP_ENFORCE_DOMAIN`: when no handler answers, the door is closed.
//!
//! # Servers that connect
//!
//! A server may connect to its clients instead of being connected to. It doesn't reconnect by itself then: the calls here
//! set `ZMQ_RECONNECT_IVL` to -1, and it has to stay so. libzmq would otherwise take the ZAP handler's answer about a peer
//! that has gone for the next peer at that endpoint, and let that one in. Nor does it try again where its first try is
//! refused. Connect again, by hand, when the monitor has told of the disconnect and a little later: libzmq ends what is
//! left at the endpoint just after it has told.
//!
//! # What no call can do
//!
//! **`inproc://` has no security mechanism at all**: whoever is in the process and the context is let in, whatever the
//! socket's options say. Bind guarded sockets to `tcp://` and `ipc://` only.

use std::time::{Duration, Instant};

use crate::authenticator::check_domain;
use crate::error::{Error, Result};
use crate::ffi::{self, Errno};
use crate::keys::{KeyPair, PublicKey};
use crate::plain::problem as plain_problem;
use crate::sender::Received;
use crate::version;

/// Between two tries to bind again.
const RETRY: Duration = Duration::from_millis(5);

/// Security for a [`zmq::Socket`], set whole or not at all; and messages together with who sent them.
///
/// Each role is one call on a new socket: options that are set after `bind` or `connect` don't apply to that endpoint,
/// and a socket that has one already answers [`Error::AlreadyBound`]. A call that fails has changed nothing.
///
/// **Over `inproc://` libzmq has no security**, whatever is set here. A server that *connects* doesn't reconnect by
/// itself: leave `set_reconnect_ivl` as the server calls set it.
///
/// ```
/// use zmq_auth::{Authenticator, KeyPair, SocketExt, zmq};
///
/// # if !zmq_auth::curve_available() { return Ok(()) }
/// let (server_keys, client_keys) = (KeyPair::generate()?, KeyPair::generate()?);
/// let context = zmq::Context::new();
/// let auth = Authenticator::new();
/// auth.configure_curve_keys("lab", [client_keys.public])?;
/// let running = auth.start(&context)?;
///
/// let mut server = context.socket(zmq::REP)?;
/// server.curve_server(&server_keys, "lab")?;
/// server.bind("tcp://127.0.0.1:*")?;
///
/// let mut client = context.socket(zmq::REQ)?;
/// client.curve_client(&client_keys, &server_keys.public)?;
/// client.connect(&server.endpoint()?)?;
/// client.send("hello", 0)?;
/// assert_eq!(server.recv_string(0)?.unwrap(), "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait SocketExt: sealed::Sealed {
    /// Makes the socket a CURVE server (RFC 25, RFC 26): clients must know its public key, and the ZAP handler decides
    /// about theirs in `domain` (1 to 255 bytes).
    ///
    /// # Errors
    /// [`Error::CurveUnavailable`], [`Error::LibzmqTooOld`], [`Error::KeyMismatch`], [`Error::Domain`],
    /// [`Error::AlreadyBound`]; [`Error::Zmq`] when the context has ended.
    fn curve_server(&mut self, keys: &KeyPair, domain: &str) -> Result<()>;

    /// Makes the socket a CURVE client with these keys, which talks to the server with this public key and to no other.
    ///
    /// A client that is refused isn't told (see [`MonitoredSocket`](crate::MonitoredSocket)), and what it has sent stays
    /// queued: with the default linger its context never ends. `set_linger` says how long that may take.
    ///
    /// # Errors
    /// As [`curve_server`](Self::curve_server), but for the domain.
    fn curve_client(&mut self, keys: &KeyPair, server: &PublicKey) -> Result<()>;

    /// Makes the socket a PLAIN server (RFC 24). Names and passwords cross the network **in clear text**.
    ///
    /// # Errors
    /// [`Error::LibzmqTooOld`], [`Error::Domain`], [`Error::AlreadyBound`]; [`Error::Zmq`] when the context has ended.
    fn plain_server(&mut self, domain: &str) -> Result<()>;

    /// Makes the socket a PLAIN client with this name and password, 1 to 255 bytes each. As for
    /// [`curve_client`](Self::curve_client), `set_linger` bounds what a refused one leaves behind.
    ///
    /// # Errors
    /// [`Error::PlainCredentials`], [`Error::AlreadyBound`]; [`Error::Zmq`] when the context has ended.
    fn plain_client(&mut self, username: &str, password: &str) -> Result<()>;

    /// Makes the socket a NULL server whose clients are put to the ZAP handler all the same: for address rules. A NULL
    /// client shows nothing but its address.
    ///
    /// # Errors
    /// As [`plain_server`](Self::plain_server).
    fn null_server(&mut self, domain: &str) -> Result<()>;

    /// The endpoint that the socket was bound or connected to last, in the form that a client connects to: with the port
    /// that the system chose for `tcp://127.0.0.1:*`.
    ///
    /// ```
    /// # use zmq_auth::{SocketExt, zmq};
    /// # let server = zmq::Context::new().socket(zmq::REP).unwrap();
    /// server.bind("tcp://127.0.0.1:*").unwrap();
    /// assert!(server.endpoint()?.starts_with("tcp://127.0.0.1:"));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Zmq`] when the context has ended, and for a socket that was neither bound nor connected.
    fn endpoint(&self) -> Result<String>;

    /// Drops every client of a bound endpoint, so that each has to authenticate again; those that are still let in come
    /// back by themselves. libzmq has no call that drops one client.
    ///
    /// The endpoint is unbound and bound again, which may take a few tries while the system frees it: up to `timeout`.
    /// Messages that are under way can be lost. libzmq drops the old connections when the socket is next used: go on
    /// receiving. `endpoint` is what [`endpoint`](Self::endpoint) told after `bind`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use zmq_auth::{SocketExt, zmq};
    /// # let context = zmq::Context::new();
    /// let mut server = context.socket(zmq::REP)?;
    /// server.null_server("lab")?;
    /// server.bind("tcp://127.0.0.1:*")?;
    /// let endpoint = server.endpoint()?;
    /// server.rebind(&endpoint, Duration::from_secs(5))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Zmq`] when the socket isn't bound there; when it can't be bound again in time, and then **it is unbound**.
    fn rebind(&self, endpoint: &str, timeout: Duration) -> Result<()>;

    /// Receives a whole message and keeps what libzmq knows of its sender, which `zmq::Socket::recv_multipart` loses.
    /// `flags` are 0 or [`zmq::DONTWAIT`]. Only on a socket whose server role was set here is that the authenticator's
    /// word (see [`Sender::user_id`](crate::Sender::user_id)).
    ///
    /// ```
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
    /// # client.send_multipart(["order", "3 apples"], 0)?;
    /// let message = server.recv_with_sender(0)?;
    /// assert_eq!(message.user_id(), Some("alice"));
    /// assert_eq!(message.frames()[1].as_str(), Some("3 apples"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of `zmq::Socket::recv`; `EAGAIN` where there is no message and `flags` say not to wait for one.
    fn recv_with_sender(&self, flags: i32) -> zmq::Result<Received>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for zmq::Socket {}
}

impl SocketExt for zmq::Socket {
    fn curve_server(&mut self, keys: &KeyPair, domain: &str) -> Result<()> {
        keys.check()?;
        guard(self, domain)?;
        self.set_curve_publickey(keys.public.as_bytes()).map_err(|error| failed("set the public key", error))?;
        self.set_curve_secretkey(keys.secret.as_bytes()).map_err(|error| failed("set the secret key", error))?;
        self.set_curve_server(true).map_err(|error| failed("become a CURVE server", error))
    }

    fn curve_client(&mut self, keys: &KeyPair, server: &PublicKey) -> Result<()> {
        keys.check()?;
        version::check_version()?;
        refuse_bound(self)?;
        unguard(self)?;
        self.set_curve_server(false).map_err(|error| failed("become a CURVE client", error))?;
        self.set_curve_serverkey(server.as_bytes()).map_err(|error| failed("set the server's key", error))?;
        self.set_curve_publickey(keys.public.as_bytes()).map_err(|error| failed("set the public key", error))?;
        self.set_curve_secretkey(keys.secret.as_bytes()).map_err(|error| failed("set the secret key", error))
    }

    fn plain_server(&mut self, domain: &str) -> Result<()> {
        guard(self, domain)?;
        self.set_plain_server(true).map_err(|error| failed("become a PLAIN server", error))
    }

    fn plain_client(&mut self, username: &str, password: &str) -> Result<()> {
        if let Some(problem) = plain_problem(username.as_bytes()) {
            return Err(Error::PlainCredentials { what: "user name", problem });
        }
        if let Some(problem) = plain_problem(password.as_bytes()) {
            return Err(Error::PlainCredentials { what: "password", problem });
        }
        refuse_bound(self)?;
        unguard(self)?;
        self.set_plain_server(false).map_err(|error| failed("become a PLAIN client", error))?;
        self.set_plain_username(Some(username)).map_err(|error| failed("set the user name", error))?;
        self.set_plain_password(Some(password)).map_err(|error| failed("set the password", error))
    }

    fn null_server(&mut self, domain: &str) -> Result<()> {
        guard(self, domain)?;
        // Off is NULL, whatever mechanism was set before.
        self.set_plain_server(false).map_err(|error| failed("become a NULL server", error))
    }

    fn endpoint(&self) -> Result<String> {
        match self.get_last_endpoint().map_err(|error| failed("tell the socket's last endpoint", error))? {
            Ok(endpoint) if !endpoint.is_empty() => Ok(endpoint),
            _ => Err(failed("tell the endpoint of a socket that has none", Errno::INVALID)),
        }
    }

    fn rebind(&self, endpoint: &str, timeout: Duration) -> Result<()> {
        if endpoint.contains('\0') {
            return Err(failed("unbind", Errno::INVALID));
        }
        self.unbind(endpoint).map_err(|error| failed("unbind", error))?;
        let deadline = Instant::now() + timeout;
        loop {
            match self.bind(endpoint) {
                // The old listener is closed by libzmq's I/O thread, a moment later.
                Err(zmq::Error::EADDRINUSE) if Instant::now() < deadline => std::thread::sleep(RETRY),
                bound => return bound.map_err(|error| failed("bind again", error)),
            }
        }
    }

    fn recv_with_sender(&self, flags: i32) -> zmq::Result<Received> {
        Received::from(self, flags)
    }
}

/// What every server needs. The domain comes first: libzmq aborts the process at the first client of a PLAIN server that
/// enforces an empty one.
fn guard(socket: &mut zmq::Socket, domain: &str) -> Result<()> {
    version::check_version()?;
    check_domain(domain)?;
    refuse_bound(socket)?;
    socket.set_zap_domain(domain).map_err(|error| failed("set the ZAP domain", error))?;
    ffi::set_zap_enforce_domain(socket, true).map_err(|error| failed("enforce the ZAP domain", error))?;
    // A session of libzmq keeps one pipe to the ZAP handler across its reconnects, and all its requests have one id: the
    // answer about a peer that has gone would be taken for the next one's. Without reconnects the session ends with its
    // connection, and the pipe with it.
    socket.set_reconnect_ivl(NO_RECONNECT).map_err(|error| failed("switch reconnecting off", error))
}

/// `ZMQ_RECONNECT_IVL`: never.
const NO_RECONNECT: i32 = -1;
/// `ZMQ_RECONNECT_IVL`: libzmq's default, in milliseconds.
const RECONNECT: i32 = 100;

/// Takes back a server's role that was set before: a socket has one role, the last.
fn unguard(socket: &mut zmq::Socket) -> Result<()> {
    if ffi::zap_enforce_domain(socket).map_err(|error| failed("tell whether it is a server", error))? {
        ffi::set_zap_enforce_domain(socket, false).map_err(|error| failed("release the ZAP domain", error))?;
        socket.set_reconnect_ivl(RECONNECT).map_err(|error| failed("switch reconnecting on", error))?;
    }
    Ok(())
}

fn refuse_bound(socket: &zmq::Socket) -> Result<()> {
    match socket.get_last_endpoint().map_err(|error| failed("tell the socket's last endpoint", error))? {
        Ok(endpoint) if endpoint.is_empty() => Ok(()),
        _ => Err(Error::AlreadyBound),
    }
}

fn failed(action: &'static str, source: impl Into<Errno>) -> Error {
    Error::Zmq { action, source: source.into() }
}
