//! Socket roles that are secure by construction: one call each, before bind or connect.
//!
//! # What libzmq does by itself
//!
//! A CURVE server without a ZAP handler accepts **every** client. So does a NULL server, and so does a CURVE server with
//! an empty domain, even while a handler runs that would refuse. The calls here set a non-empty domain and
//! `ZMQ_ZAP_ENFORCE_DOMAIN`, so that a server refuses everybody when no handler answers.
//!
//! # Servers that connect
//!
//! A server may connect to its clients instead of binding. It then doesn't reconnect by itself: the calls here set
//! `ZMQ_RECONNECT_IVL` to -1, and it must stay -1. Otherwise libzmq could apply the ZAP handler's answer about a peer that
//! has gone to the next peer at that endpoint, and accept it. Nor does such a server retry a refused first connection. To
//! reconnect, wait for the monitor's disconnect event, then a few milliseconds more (libzmq finishes closing the session
//! just after emitting it), and call `connect` again.
//!
//! # What no call can do
//!
//! **Only ZMTP has security mechanisms.** `inproc://` doesn't use ZMTP: anybody in the process who has the context is
//! accepted, whatever the socket's options say. Neither do `udp://`, `pgm://`, `epgm://` and `norm://`, STREAM sockets, and
//! ROUTER sockets with `ZMQ_ROUTER_RAW`. The calls here refuse STREAM sockets and libzmq's draft types, and
//! [`SocketExt::bind_as`] also refuses those transports. A plain `bind` can't be refused from here, and `ZMQ_ROUTER_RAW`
//! can be set but not read. Bind guarded sockets to `tcp://` and `ipc://` only.

mod endpoint;
mod role;

use std::time::Duration;

pub use endpoint::Endpoint;
pub use role::Role;

use crate::error::{Error, Result};
use crate::ffi::{self, Errno};
use crate::keys::{KeyPair, PublicKey};
use crate::sender::Received;

/// Security roles for a [`zmq::Socket`], each set completely or not at all, and messages together with their sender.
///
/// Call a role once, on a new socket: options that are set after `bind` or `connect` don't apply to that endpoint, so a
/// socket that already has one returns [`Error::AlreadyBound`]. A call that fails has changed nothing. If endpoints need
/// different roles, use [`bind_as`](Self::bind_as) and [`connect_as`](Self::connect_as).
///
/// **Over `inproc://`, `udp://`, `pgm://`, `epgm://` and `norm://`, on STREAM sockets and with `ZMQ_ROUTER_RAW`, libzmq has
/// no security**, whatever is set here; STREAM sockets are refused ([`Error::NoMechanism`]). A server that *connects*
/// doesn't reconnect by itself: leave `set_reconnect_ivl` as the server calls set it. Peers that speak ZMTP 1 or 2 (libzmq
/// before 4.0) have no security mechanism: every server role drops them, NULL included, without asking the handler.
///
/// A **REQ** socket as CURVE or PLAIN server never gets a reply from a client that has a user id: libzmq puts the id in
/// front of the reply, and REQ drops the client for it. Let the policy set an empty id: `Verdict::AllowAs` with
/// `user_id: ""`.
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
    /// Makes the socket a CURVE server (RFC 25, RFC 26), with messages of at most 64 MiB unless `set_maxmsgsize` says otherwise.
    ///
    /// Clients must know its public key; the ZAP handler decides about theirs in `domain` (1 to 255 bytes).
    ///
    /// The message bound is `ZMQ_MAXMSGSIZE`, which also applies to handshake commands: without it, anybody who can connect
    /// can make the server allocate any amount of memory. It is set if the option is -1, libzmq's default. To choose your
    /// own, set it before this call, or after it and before `bind`. See [`operation`](crate::operation#floods-of-connections).
    ///
    /// # Errors
    /// [`Error::CurveUnavailable`], [`Error::LibzmqTooOld`], [`Error::KeyMismatch`], [`Error::Domain`],
    /// [`Error::NoMechanism`], [`Error::AlreadyBound`]; [`Error::Zmq`] when the context has ended.
    fn curve_server(&mut self, keys: &KeyPair, domain: &str) -> Result<()>;

    /// Makes the socket a CURVE client with these keys, which talks only to the server with this public key.
    ///
    /// libzmq doesn't tell a client that it was refused (see [`MonitoredSocket`](crate::MonitoredSocket)), and keeps its
    /// messages queued: with the default linger, terminating the context blocks forever. Bound that with `set_linger`.
    ///
    /// # Errors
    /// As [`curve_server`](Self::curve_server), except for the domain.
    fn curve_client(&mut self, keys: &KeyPair, server: &PublicKey) -> Result<()>;

    /// Makes the socket a PLAIN server (RFC 24), with messages of at most 64 MiB unless `set_maxmsgsize` says otherwise.
    ///
    /// Names and passwords cross the network **in clear text**. The bound is explained at
    /// [`curve_server`](Self::curve_server).
    ///
    /// # Errors
    /// [`Error::LibzmqTooOld`], [`Error::Domain`], [`Error::NoMechanism`], [`Error::AlreadyBound`]; [`Error::Zmq`] when the
    /// context has ended.
    fn plain_server(&mut self, domain: &str) -> Result<()>;

    /// Makes the socket a PLAIN client with this name and password, 1 to 255 bytes each. As for
    /// [`curve_client`](Self::curve_client), set a linger.
    ///
    /// # Errors
    /// [`Error::PlainCredentials`], [`Error::NoMechanism`], [`Error::AlreadyBound`]; [`Error::Zmq`] when the context has
    /// ended.
    fn plain_client(&mut self, username: &str, password: &str) -> Result<()>;

    /// Makes the socket a NULL server that asks the ZAP handler, with messages of at most 64 MiB unless `set_maxmsgsize` says otherwise.
    ///
    /// For address rules and policies about NULL: a NULL client presents nothing but its address. The message bound is
    /// explained at [`curve_server`](Self::curve_server).
    ///
    /// # Errors
    /// As [`plain_server`](Self::plain_server).
    fn null_server(&mut self, domain: &str) -> Result<()>;

    /// Binds the socket to an endpoint with its own role: NULL on ipc and CURVE on TCP at one ROUTER, or a second server
    /// key beside the first during a key change.
    ///
    /// Role and endpoint are set in one call because libzmq's options apply to the binds that *follow* them. The socket may
    /// already be bound and connected. Afterwards, an endpoint of a plain `bind` or `connect` accepts nobody: give every
    /// endpoint of such a socket a role. [`rebind`](Self::rebind) refuses it; [`Endpoint::rebind`] knows the role.
    ///
    /// ```
    /// # use zmq_auth::{KeyPair, Role, SocketExt, zmq};
    /// # if !zmq_auth::curve_available() { return Ok(()) }
    /// # let context = zmq::Context::new();
    /// let (old, new) = (KeyPair::generate()?, KeyPair::generate()?);
    /// let mut server = context.socket(zmq::ROUTER)?;
    /// server.bind_as(&Role::curve_server(&old, "lab")?, "tcp://127.0.0.1:*")?;
    /// let endpoint = server.bind_as(&Role::curve_server(&new, "lab")?, "tcp://127.0.0.1:*")?;
    /// println!("clients that have the new key connect to {}", endpoint.name());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoMechanism`] for a socket type or transport without one; [`Error::Zmq`] if the bind fails.
    fn bind_as(&mut self, role: &Role, endpoint: &str) -> Result<Endpoint>;

    /// Connects the socket to an endpoint with its own role, such as a SUB to two publishers with different server keys.
    /// Otherwise as [`bind_as`](Self::bind_as).
    ///
    /// ```
    /// # use zmq_auth::{KeyPair, PublicKey, Role, SocketExt, zmq};
    /// # fn subscribe(keys: &KeyPair, one: PublicKey, other: PublicKey) -> zmq_auth::Result<()> {
    /// # let context = zmq::Context::new();
    /// let mut subscriber = context.socket(zmq::SUB)?;
    /// subscriber.connect_as(&Role::curve_client(keys, &one)?, "tcp://one.example:5556")?;
    /// subscriber.connect_as(&Role::curve_client(keys, &other)?, "tcp://other.example:5556")?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`bind_as`](Self::bind_as).
    fn connect_as(&mut self, role: &Role, endpoint: &str) -> Result<()>;

    /// Makes an XPUB socket grant subscriptions only where the program says so (`ZMQ_XPUB_MANUAL`): after receiving a
    /// subscription, and before receiving anything else, call `set_subscribe` to grant that client a topic. A client
    /// without a grant is sent nothing.
    ///
    /// **libzmq through 4.3.5 loses count** when a client sends an XPUB socket anything other than subscriptions, which an
    /// XSUB client can: `set_subscribe` then acts on the *next* client whose subscription waits. After such a message, grant
    /// nothing until a receive has returned `EAGAIN`.
    ///
    /// ```
    /// # use zmq_auth::{SocketExt, zmq};
    /// # let context = zmq::Context::new();
    /// # let (mut publisher, subscriber) = (context.socket(zmq::XPUB)?, context.socket(zmq::SUB)?);
    /// publisher.set_xpub_manual(true)?;
    /// publisher.bind("tcp://127.0.0.1:*")?;
    /// # subscriber.connect(&publisher.endpoint()?)?;
    /// # subscriber.set_subscribe(b"prices.apples")?;
    /// let subscription = publisher.recv_msg(0)?; // 1, and the topic
    /// if let Some(topic) = subscription.strip_prefix(b"\x01").filter(|topic| topic.starts_with(b"prices.")) {
    ///     publisher.set_subscribe(topic)?;
    /// }
    /// publisher.send("prices.apples 3", 0)?;
    /// # assert_eq!(subscriber.recv_string(0)?.unwrap(), "prices.apples 3");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Zmq`] for a socket of another type, or when the context has ended.
    fn set_xpub_manual(&mut self, manual: bool) -> Result<()>;

    /// The endpoint that the socket was bound or connected to last, in the form that a client connects to: for
    /// `tcp://127.0.0.1:*`, with the port that the system chose.
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
    /// [`Error::Zmq`] when the context has ended, and for a socket that was never bound or connected.
    fn endpoint(&self) -> Result<String>;

    /// Drops every client of a bound endpoint, so that each has to authenticate again; those that are still accepted
    /// reconnect by themselves. To drop a single client, use [`Connection`](crate::Connection).
    ///
    /// The endpoint is unbound and bound again. That may take several attempts, for at most `timeout`, until the system has
    /// freed the address or has a descriptor left. Messages in flight can be lost. libzmq drops the old connections when
    /// the socket is next used, so keep receiving. `endpoint` is what [`endpoint`](Self::endpoint) returned after `bind`.
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
    /// [`Error::Zmq`] if the socket isn't bound to `endpoint`, or can't be bound again in time, in which case **it is unbound**.
    /// [`Error::RolePerEndpoint`] after [`bind_as`](Self::bind_as) or [`connect_as`](Self::connect_as).
    fn rebind(&self, endpoint: &str, timeout: Duration) -> Result<()>;

    /// Receives a whole message with its sender, which `zmq::Socket::recv_multipart` discards. `flags` are 0 or
    /// [`zmq::DONTWAIT`]. The sender is authenticated only on a socket whose server role was set here (see
    /// [`Sender::user_id`](crate::Sender::user_id)).
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
    /// Those of `zmq::Socket::recv`; `EAGAIN` if there is no message and `flags` say not to wait.
    fn recv_with_sender(&self, flags: i32) -> zmq::Result<Received>;

    /// Sends one frame without waiting, and returns it as it was if the socket takes nothing now: `zmq::Socket::send` drops it.
    /// `more` says whether the message goes on with another frame.
    ///
    /// ```
    /// # use zmq_auth::{SocketExt, zmq};
    /// # let context = zmq::Context::new();
    /// let client = context.socket(zmq::PUSH)?; // connected to nobody
    /// let returned = client.try_send("3 apples".into(), false)?;
    /// assert_eq!(returned.as_deref(), Some(&b"3 apples"[..]));
    /// # Ok::<(), zmq::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of `zmq::Socket::send` except `EAGAIN`. The frame is dropped.
    fn try_send(&self, frame: zmq::Message, more: bool) -> zmq::Result<Option<zmq::Message>>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for zmq::Socket {}
}

impl SocketExt for zmq::Socket {
    fn curve_server(&mut self, keys: &KeyPair, domain: &str) -> Result<()> {
        set_role(self, &Role::curve_server(keys, domain)?)
    }

    fn curve_client(&mut self, keys: &KeyPair, server: &PublicKey) -> Result<()> {
        set_role(self, &Role::curve_client(keys, server)?)
    }

    fn plain_server(&mut self, domain: &str) -> Result<()> {
        set_role(self, &Role::plain_server(domain)?)
    }

    fn plain_client(&mut self, username: &str, password: &str) -> Result<()> {
        set_role(self, &Role::plain_client(username, password)?)
    }

    fn null_server(&mut self, domain: &str) -> Result<()> {
        set_role(self, &Role::null_server(domain)?)
    }

    fn bind_as(&mut self, role: &Role, endpoint: &str) -> Result<Endpoint> {
        endpoint::bind_as(self, role, endpoint)
    }

    fn connect_as(&mut self, role: &Role, endpoint: &str) -> Result<()> {
        endpoint::connect_as(self, role, endpoint)
    }

    fn set_xpub_manual(&mut self, manual: bool) -> Result<()> {
        ffi::set_xpub_manual(self, manual).map_err(|error| failed("set XPUB_MANUAL", error))
    }

    fn endpoint(&self) -> Result<String> {
        last_endpoint(self)
    }

    fn rebind(&self, endpoint: &str, timeout: Duration) -> Result<()> {
        if endpoint::has_roles(self) {
            return Err(Error::RolePerEndpoint);
        }
        endpoint::rebind(self, endpoint, timeout)
    }

    fn recv_with_sender(&self, flags: i32) -> zmq::Result<Received> {
        Received::from(self, flags)
    }

    fn try_send(&self, mut frame: zmq::Message, more: bool) -> zmq::Result<Option<zmq::Message>> {
        match ffi::try_send(self, &mut frame, more) {
            Ok(()) => Ok(None),
            Err(Errno::AGAIN) => Ok(Some(frame)),
            Err(error) => Err(zmq::Error::from_raw(error.raw())),
        }
    }
}

/// Gives a new socket one role for all its endpoints.
fn set_role(socket: &mut zmq::Socket, role: &Role) -> Result<()> {
    match socket.get_last_endpoint().map_err(|error| failed("read the socket's last endpoint", error))? {
        Ok(endpoint) if endpoint.is_empty() => role.set(socket),
        _ => Err(Error::AlreadyBound),
    }
}

fn last_endpoint(socket: &zmq::Socket) -> Result<String> {
    match socket.get_last_endpoint().map_err(|error| failed("read the socket's last endpoint", error))? {
        Ok(endpoint) if !endpoint.is_empty() => Ok(endpoint),
        _ => Err(failed("read the endpoint of a socket that has none", Errno::INVALID)),
    }
}

fn failed(action: &'static str, source: impl Into<Errno>) -> Error {
    Error::Zmq { action, source: source.into() }
}
