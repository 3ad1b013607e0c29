//! Security roles of a socket: validated when constructed, set completely.

use crate::authenticator::check_domain;
use crate::error::{Error, Result};
use crate::ffi;
use crate::keys::{KeyPair, PublicKey};
use crate::plain::{Password, problem as plain_problem};
use crate::version;

use super::failed;

/// The security role of a socket at one endpoint, for [`SocketExt::bind_as`](super::SocketExt::bind_as) and
/// [`SocketExt::connect_as`](super::SocketExt::connect_as). If all endpoints have the same role, call the method of
/// [`SocketExt`](super::SocketExt) with the same name instead.
///
/// ```
/// use zmq_auth::{Role, SocketExt, zmq};
///
/// let context = zmq::Context::new();
/// let mut server = context.socket(zmq::ROUTER)?;
/// let tcp = server.bind_as(&Role::plain_server("network")?, "tcp://127.0.0.1:*")?;
/// let ipc = server.bind_as(&Role::null_server("local")?, "ipc://*")?;
/// assert!(tcp.name().starts_with("tcp://127.0.0.1:") && ipc.name().starts_with("ipc://"));
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Role(Kind);

#[derive(Debug, Clone)]
enum Kind {
    CurveServer { keys: KeyPair, domain: String },
    CurveClient { keys: KeyPair, server: PublicKey },
    PlainServer { domain: String },
    PlainClient { username: String, password: Password },
    NullServer { domain: String },
    NullClient,
}

impl Role {
    /// As [`SocketExt::curve_server`](super::SocketExt::curve_server).
    ///
    /// # Errors
    /// [`Error::CurveUnavailable`], [`Error::LibzmqTooOld`], [`Error::KeyMismatch`], [`Error::Domain`].
    pub fn curve_server(keys: &KeyPair, domain: &str) -> Result<Self> {
        keys.check()?;
        Ok(Role(Kind::CurveServer { keys: keys.clone(), domain: server_domain(domain)? }))
    }

    /// As [`SocketExt::curve_client`](super::SocketExt::curve_client).
    ///
    /// # Errors
    /// [`Error::CurveUnavailable`], [`Error::LibzmqTooOld`], [`Error::KeyMismatch`].
    pub fn curve_client(keys: &KeyPair, server: &PublicKey) -> Result<Self> {
        keys.check()?;
        version::check_version()?;
        Ok(Role(Kind::CurveClient { keys: keys.clone(), server: *server }))
    }

    /// As [`SocketExt::plain_server`](super::SocketExt::plain_server).
    ///
    /// # Errors
    /// [`Error::LibzmqTooOld`], [`Error::Domain`].
    pub fn plain_server(domain: &str) -> Result<Self> {
        Ok(Role(Kind::PlainServer { domain: server_domain(domain)? }))
    }

    /// As [`SocketExt::plain_client`](super::SocketExt::plain_client).
    ///
    /// # Errors
    /// [`Error::PlainCredentials`].
    pub fn plain_client(username: &str, password: &str) -> Result<Self> {
        for (what, text) in [("user name", username), ("password", password)] {
            if let Some(problem) = plain_problem(text.as_bytes()) {
                return Err(Error::PlainCredentials { what, problem });
            }
        }
        Ok(Role(Kind::PlainClient { username: username.to_owned(), password: password.into() }))
    }

    /// As [`SocketExt::null_server`](super::SocketExt::null_server).
    ///
    /// # Errors
    /// [`Error::LibzmqTooOld`], [`Error::Domain`].
    pub fn null_server(domain: &str) -> Result<Self> {
        Ok(Role(Kind::NullServer { domain: server_domain(domain)? }))
    }

    /// A client without credentials that doesn't authenticate its server: what a new socket is.
    ///
    /// If the socket has had a server role, libzmq asks the ZAP handler about such a connection too, in that role's
    /// domain: a domain can't be cleared.
    pub fn null_client() -> Self {
        Role(Kind::NullClient)
    }

    /// A CURVE client with new keys, for a server whose secret key nobody has. `None` if libzmq has no CURVE.
    pub(super) fn of_no_server(server: PublicKey) -> Result<Option<Self>> {
        match KeyPair::generate() {
            Ok(keys) => Role::curve_client(&keys, &server).map(Some),
            Err(Error::CurveUnavailable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self.0, Kind::CurveClient { .. } | Kind::PlainClient { .. } | Kind::NullClient)
    }

    /// Sets the options of this role, for the binds and connects that follow.
    pub(super) fn set(&self, socket: &mut zmq::Socket) -> Result<()> {
        check_type(socket)?;
        match &self.0 {
            Kind::CurveServer { keys, domain } => {
                guard(socket, domain)?;
                set_keys(socket, keys)?;
                socket.set_curve_server(true).map_err(|error| failed("make the socket a CURVE server", error))
            }
            Kind::CurveClient { keys, server } => {
                unguard(socket)?;
                socket.set_curve_server(false).map_err(|error| failed("make the socket a CURVE client", error))?;
                socket.set_curve_serverkey(server.as_bytes()).map_err(|error| failed("set the server's key", error))?;
                set_keys(socket, keys)
            }
            Kind::PlainServer { domain } => {
                guard(socket, domain)?;
                socket.set_plain_server(true).map_err(|error| failed("make the socket a PLAIN server", error))
            }
            Kind::PlainClient { username, password } => {
                unguard(socket)?;
                let password = str::from_utf8(password.as_bytes());
                let problem = "is not UTF-8";
                let password = password.map_err(|_| Error::PlainCredentials { what: "password", problem })?;
                socket.set_plain_server(false).map_err(|error| failed("make the socket a PLAIN client", error))?;
                socket
                    .set_plain_username(Some(username.as_str()))
                    .map_err(|error| failed("set the user name", error))?;
                socket.set_plain_password(Some(password)).map_err(|error| failed("set the password", error))
            }
            // Off means NULL, whatever mechanism was set before.
            Kind::NullServer { domain } => {
                guard(socket, domain)?;
                socket.set_plain_server(false).map_err(|error| failed("make the socket a NULL server", error))
            }
            Kind::NullClient => {
                unguard(socket)?;
                socket.set_plain_server(false).map_err(|error| failed("make the socket a NULL client", error))
            }
        }
    }
}

fn server_domain(domain: &str) -> Result<String> {
    version::check_version()?;
    check_domain(domain)?;
    Ok(domain.to_owned())
}

fn set_keys(socket: &mut zmq::Socket, keys: &KeyPair) -> Result<()> {
    socket.set_curve_publickey(keys.public.as_bytes()).map_err(|error| failed("set the public key", error))?;
    socket.set_curve_secretkey(keys.secret.as_bytes()).map_err(|error| failed("set the secret key", error))
}

/// Accepts the socket types that speak ZMTP on every network transport. STREAM and DGRAM don't; RADIO and DISH don't over UDP.
fn check_type(socket: &mut zmq::Socket) -> Result<()> {
    let number = ffi::socket_type(socket).map_err(|error| failed("read the socket's type", error))?;
    let what = match number {
        zmq_sys::ZMQ_PAIR
        | zmq_sys::ZMQ_PUB
        | zmq_sys::ZMQ_SUB
        | zmq_sys::ZMQ_REQ
        | zmq_sys::ZMQ_REP
        | zmq_sys::ZMQ_DEALER
        | zmq_sys::ZMQ_ROUTER
        | zmq_sys::ZMQ_PULL
        | zmq_sys::ZMQ_PUSH
        | zmq_sys::ZMQ_XPUB
        | zmq_sys::ZMQ_XSUB => return Ok(()),
        zmq_sys::ZMQ_STREAM => "a STREAM socket".to_owned(),
        // libzmq's draft types: the `zmq` crate can't open one.
        other => format!("socket type {other}"),
    };
    Err(Error::NoMechanism { what })
}

/// Sets what every server needs. The domain must come first: a PLAIN server that enforces an empty domain makes libzmq
/// abort the process at the first client.
fn guard(socket: &mut zmq::Socket, domain: &str) -> Result<()> {
    socket.set_zap_domain(domain).map_err(|error| failed("set the ZAP domain", error))?;
    ffi::set_zap_enforce_domain(socket, true).map_err(|error| failed("enforce the ZAP domain", error))?;
    if socket.get_maxmsgsize().map_err(|error| failed("read the message size limit", error))? == UNLIMITED {
        socket.set_maxmsgsize(LARGEST_MESSAGE).map_err(|error| failed("set the message size limit", error))?;
    }
    // A libzmq session keeps one pipe to the ZAP handler across reconnects, and all its requests have the same id: the
    // answer about a peer that has gone would be taken for the next one's. Without reconnects, the session and its pipe
    // end with the connection.
    socket.set_reconnect_ivl(NO_RECONNECT).map_err(|error| failed("disable reconnecting", error))
}

/// Undoes a server role that was set before: a socket has one role, the last.
fn unguard(socket: &mut zmq::Socket) -> Result<()> {
    if ffi::zap_enforce_domain(socket).map_err(|error| failed("read whether the socket is a server", error))? {
        ffi::set_zap_enforce_domain(socket, false).map_err(|error| failed("stop enforcing the ZAP domain", error))?;
        if socket.get_maxmsgsize() == Ok(LARGEST_MESSAGE) {
            socket.set_maxmsgsize(UNLIMITED).map_err(|error| failed("remove the message size limit", error))?;
        }
        socket.set_reconnect_ivl(RECONNECT).map_err(|error| failed("enable reconnecting", error))?;
    }
    Ok(())
}

/// `ZMQ_MAXMSGSIZE` of servers if the program has set none, in bytes. libzmq reads handshake commands as messages, so
/// anybody who can connect can make it allocate this much without credentials.
const LARGEST_MESSAGE: i64 = 64 << 20;
/// `ZMQ_MAXMSGSIZE`: libzmq's default, no limit.
const UNLIMITED: i64 = -1;
/// `ZMQ_RECONNECT_IVL`: never.
const NO_RECONNECT: i32 = -1;
/// `ZMQ_RECONNECT_IVL`: libzmq's default, in milliseconds.
const RECONNECT: i32 = 100;
