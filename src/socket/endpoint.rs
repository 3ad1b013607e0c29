//! Endpoints with their own role: `bind_as`, `connect_as`, and how such an endpoint is bound again.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::failed;
use super::role::Role;
use crate::error::{Error, Result};
use crate::ffi::{self, Errno};

/// An endpoint that [`SocketExt::bind_as`](super::SocketExt::bind_as) has bound, with its role.
///
/// ```
/// # use std::time::Duration;
/// # use zmq_auth::{Role, SocketExt, zmq};
/// # let context = zmq::Context::new();
/// let mut server = context.socket(zmq::REP)?;
/// let endpoint = server.bind_as(&Role::plain_server("shop")?, "tcp://127.0.0.1:*")?;
/// println!("listening at {}", endpoint.name()); // with the port that the system chose
/// endpoint.rebind(&mut server, Duration::from_secs(5))?; // drops its clients; still a PLAIN server
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Endpoint {
    name: String,
    role: Role,
}

impl Endpoint {
    /// The endpoint, in the form that a client connects to.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Drops every client of this endpoint and binds it again with its role. `socket` is the socket that bound it;
    /// otherwise as [`SocketExt::rebind`](super::SocketExt::rebind).
    ///
    /// # Errors
    /// Those of [`SocketExt::rebind`](super::SocketExt::rebind).
    pub fn rebind(&self, socket: &mut zmq::Socket, timeout: Duration) -> Result<()> {
        with_role(socket, &self.role, |socket| rebind(socket, &self.name, timeout))
    }
}

pub(super) fn bind_as(socket: &mut zmq::Socket, role: &Role, endpoint: &str) -> Result<Endpoint> {
    check_transport(endpoint)?;
    with_role(socket, role, |socket| {
        ffi::bind(socket, endpoint).map_err(|error| failed("bind", error))?;
        Ok(Endpoint { name: super::last_endpoint(socket)?, role: role.clone() })
    })
}

pub(super) fn connect_as(socket: &mut zmq::Socket, role: &Role, endpoint: &str) -> Result<()> {
    check_transport(endpoint)?;
    with_role(socket, role, |socket| ffi::connect(socket, endpoint).map_err(|error| failed("connect", error)))
}

/// The pause between two attempts to bind again.
const RETRY: Duration = Duration::from_millis(5);

pub(super) fn rebind(socket: &zmq::Socket, endpoint: &str, timeout: Duration) -> Result<()> {
    // A deadline past the range of the clock is no deadline.
    let deadline = Instant::now().checked_add(timeout);
    retry(deadline, ffi::check_descriptors).map_err(|error| failed("bind again, so it was not unbound", error))?;
    ffi::unbind(socket, endpoint).map_err(|error| failed("unbind", error))?;
    retry(deadline, || ffi::bind(socket, endpoint)).map_err(|error| failed("bind again", error))
}

/// Tries until the deadline: libzmq's I/O thread closes the old listener a moment later, and descriptors may run out for a while.
fn retry(deadline: Option<Instant>, attempt: impl Fn() -> Result<(), Errno>) -> Result<(), Errno> {
    loop {
        match attempt() {
            Err(Errno::ADDRESS_IN_USE | Errno::TOO_MANY_FILES | Errno::TOO_MANY_FILES_IN_ALL)
                if deadline.is_none_or(|deadline| Instant::now() < deadline) =>
            {
                sleep(RETRY);
            }
            outcome => return outcome,
        }
    }
}

/// The server key of a socket between two calls of `bind_as` and `connect_as`: a fixed text, for which nobody has the secret key.
const NO_SERVER: [u8; 32] = *b"zmq-auth: endpoint without role!";
/// The ZAP domain of such a socket if libzmq has no CURVE.
const NO_DOMAIN: &str = "zmq-auth: endpoint without role!";

/// Whether this socket was given roles by endpoint.
pub(super) fn has_roles(socket: &zmq::Socket) -> bool {
    socket.get_curve_serverkey().is_ok_and(|key| key == NO_SERVER)
        || matches!(socket.get_zap_domain(), Ok(Ok(domain)) if domain == NO_DOMAIN)
}

/// Runs `act` while the socket has the role. libzmq's options apply to all later binds and connects, so afterwards they
/// are set to those of a CURVE client whose server can't exist (without CURVE: a PLAIN server in a domain that nobody
/// configures). Otherwise a plain `bind` would silently use the last role.
fn with_role<T>(socket: &mut zmq::Socket, role: &Role, act: impl FnOnce(&mut zmq::Socket) -> Result<T>) -> Result<T> {
    let nobody = match Role::of_no_server(NO_SERVER.into())? {
        Some(nobody) => nobody,
        None => Role::plain_server(NO_DOMAIN)?,
    };
    // Server roles disable reconnecting; what the program has set is for its client roles.
    let reconnect = socket.get_reconnect_ivl().map_err(|error| failed("read the reconnect interval", error))?;
    let restore = |socket: &mut zmq::Socket| {
        socket.set_reconnect_ivl(reconnect).map_err(|error| failed("set the reconnect interval", error))
    };
    role.set(socket)?;
    let client = if role.is_client() { restore(socket) } else { Ok(()) };
    let acted = client.and_then(|()| act(socket));
    nobody.set(socket)?;
    restore(socket)?;
    acted
}

/// Checks that connections over this transport speak ZMTP, and so have a security mechanism.
fn check_transport(endpoint: &str) -> Result<()> {
    let transport = endpoint.split_once("://").map_or("", |(transport, _)| transport);
    match transport {
        "tcp" | "ipc" | "ws" | "wss" | "tipc" | "vmci" => Ok(()),
        "" => Err(failed("use an endpoint without a transport", Errno::INVALID)),
        _ => Err(Error::NoMechanism { what: format!("{transport}://") }),
    }
}
