//! A socket wrapper that reports the outcome of handshakes; libzmq itself tells a refused client nothing.

use std::collections::HashSet;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zmq::SocketEvent as Event;

use crate::error::{Error, Result};
use crate::ffi::{self, Errno};

/// The outcome of one connection attempt.
///
/// ```
/// use zmq_auth::Handshake;
/// assert_eq!(Handshake::Denied(400).to_string(), "denied (400)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handshake {
    /// The handshake succeeded, and messages flow. (For a NULL server without a ZAP domain, no handler was asked.)
    Authenticated,
    /// The server's ZAP handler refused, with 400 or 500; on the server's side also with 300, which the client isn't told.
    /// A libzmq client doesn't retry.
    Denied(u32),
    /// The connection ended before the handshake did, and libzmq doesn't say why. Possible causes:
    ///
    /// - the handler answered 300 (Retry): a pause, or overload;
    /// - no ZAP handler runs and the domain is enforced;
    /// - the client has the wrong server key;
    /// - the mechanisms differ, or the socket types don't fit (DEALER and PUB);
    /// - the peer isn't ZeroMQ, or left, or `ZMQ_HANDSHAKE_IVL` has passed.
    ///
    /// A libzmq client retries, unless libzmq reports a protocol violation. It reports one also when it is refused by a
    /// server that spells PLAIN's ERROR correctly (RFC 24): libzmq through 4.3.5 writes and reads `^RROR`, so its clients
    /// don't understand JeroMQ's 400, and clients of JeroMQ and omq.rs don't understand libzmq's. rzmq knows both.
    Failed(Option<ProtocolError>),
    /// Nobody listens at the endpoint. The client keeps trying.
    Unreachable,
}

impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Handshake::Authenticated => f.write_str("authenticated"),
            Handshake::Denied(code) => write!(f, "denied ({code})"),
            Handshake::Failed(None) => f.write_str(
                "no handshake: the server told the client to retry (300) or has no ZAP handler; or the server's key, the \
                 mechanism or the socket type doesn't match; or the connection was lost",
            ),
            Handshake::Failed(Some(error)) => {
                write!(f, "no handshake: {error}; the mechanisms may differ, or the server isn't libzmq and refused the client")
            }
            Handshake::Unreachable => f.write_str("nothing listens at the endpoint"),
        }
    }
}

/// A protocol violation that libzmq reports for a handshake.
///
/// ```
/// # use zmq_auth::{Handshake, ProtocolError};
/// fn is_mechanism(handshake: Handshake) -> bool {
///     matches!(handshake, Handshake::Failed(Some(error)) if error.code() == 0x1100_0002)
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProtocolError(u32);

impl ProtocolError {
    /// The `ZMQ_PROTOCOL_ERROR_*` number, from `zmq.h`.
    pub fn code(self) -> u32 {
        self.0
    }

    fn text(self) -> &'static str {
        match self.0 {
            0x1000_0001 => "an unexpected command",
            0x1000_0002 => "commands out of sequence",
            0x1000_0003 => "no agreement on keys",
            0x1000_0011..=0x1000_0017 => "a malformed command",
            0x1000_0018 => "malformed metadata",
            0x1100_0001 => "a failed cryptographic check",
            0x1100_0002 => "another mechanism",
            0x2000_0000..=0x2000_0005 => "a malformed reply from the ZAP handler",
            _ => "a protocol violation",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Debug for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

/// A handshake's outcome and endpoint; from [`MonitoredSocket::wait_for_event`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeEvent {
    /// The outcome.
    pub handshake: Handshake,
    /// The endpoint that this socket connected to or was bound to, as libzmq writes it: `tcp://192.0.2.7:5555`.
    pub endpoint: String,
}

/// A socket whose handshakes can be waited for. It derefs to the socket; wrap a new socket, before bind or connect.
///
/// libzmq doesn't tell a client that it was refused: `send` still queues, and `recv` waits forever. This type reports it.
///
/// **A monitored CURVE or PLAIN server behaves differently while no ZAP handler runs**: its clients stall until
/// `ZMQ_HANDSHAKE_IVL` has passed (30 s by default), while an unmonitored server hangs up at once. libzmq emits the
/// monitor event before it looks at `errno`, and emitting changes `errno`. No event mask avoids it, because the event is
/// the one that reports the cause. A NULL server stalls its clients either way.
///
/// | no handler runs | not monitored | monitored |
/// |---|---|---|
/// | CURVE, PLAIN | hangs up at once; the client tries again | stalls until `ZMQ_HANDSHAKE_IVL` |
/// | NULL | stalls until `ZMQ_HANDSHAKE_IVL` | stalls until `ZMQ_HANDSHAKE_IVL` |
///
/// The socket and its monitor are kept together because a monitor that nobody reads, or whose reader is gone, can block
/// libzmq's I/O thread. Unread events are kept (about 100 bytes for each handshake, so a server that strangers can reach
/// should wait now and then). Dropping this value stops the monitor first, then closes both.
///
/// ```
/// use std::time::Duration;
/// use zmq_auth::{Handshake, MonitoredSocket, SocketExt, ThreadAuthenticator, zmq};
///
/// let context = zmq::Context::new();
/// let auth = ThreadAuthenticator::start(&context)?;
/// let mut server = context.socket(zmq::REP)?;
/// server.plain_server("shop")?; // which has no users
/// server.bind("tcp://127.0.0.1:*")?;
///
/// let mut client = context.socket(zmq::REQ)?;
/// client.plain_client("mallory", "guess")?;
/// let mut client = MonitoredSocket::new(&context, client)?;
/// client.connect(&server.endpoint()?)?;
/// assert_eq!(client.wait_for_handshake(Duration::from_secs(10))?, Some(Handshake::Denied(400)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MonitoredSocket {
    socket: zmq::Socket,
    events: zmq::Socket,
    /// Endpoints whose current attempt is not the first since their last connection.
    failing: HashSet<String>,
}

const WATCHED: i32 = Event::CONNECTED as i32
    | Event::CLOSED as i32
    | Event::CONNECT_RETRIED as i32
    | Event::HANDSHAKE_SUCCEEDED as i32
    | Event::HANDSHAKE_FAILED_AUTH as i32
    | Event::HANDSHAKE_FAILED_PROTOCOL as i32
    | Event::HANDSHAKE_FAILED_NO_DETAIL as i32;

impl MonitoredSocket {
    /// Starts to monitor a socket of this context.
    ///
    /// # Errors
    /// [`Error::OtherContext`] for a socket of another context, which is then closed; [`Error::Zmq`] when the context has
    /// ended or can't open another socket.
    pub fn new(context: &zmq::Context, mut socket: zmq::Socket) -> Result<Self> {
        let failed = |action| move |source: Errno| Error::Zmq { action, source };
        let zmq_failed = |action| move |error: zmq::Error| Error::Zmq { action, source: error.into() };
        check_context(context, &mut socket)?;
        let endpoint = unused_name();
        let events = ffi::open_socket(context, zmq::PAIR).map_err(failed("open a monitor"))?;
        // When the queue is full, libzmq's sending end blocks, and with it the I/O thread.
        events.set_rcvhwm(0).map_err(zmq_failed("set up a monitor"))?;
        events.set_linger(0).map_err(zmq_failed("set up a monitor"))?;
        ffi::monitor(&mut socket, &endpoint, WATCHED).map_err(failed("monitor the socket"))?;
        if let Err(error) = ffi::connect(&events, &endpoint) {
            let _ = ffi::stop_monitor(&mut socket);
            return Err(failed("connect to the monitor")(error));
        }
        Ok(MonitoredSocket { socket, events, failing: HashSet::new() })
    }

    /// Waits for the next outcome of a handshake, at any of the socket's endpoints; `None` on timeout. Outcomes from before
    /// the call count: none is missed, and each is returned once.
    ///
    /// # Errors
    /// [`Error::Zmq`] when the context has ended.
    pub fn wait_for_handshake(&mut self, timeout: Duration) -> Result<Option<Handshake>> {
        Ok(self.wait_for_event(timeout)?.map(|event| event.handshake))
    }

    /// As [`wait_for_handshake`](Self::wait_for_handshake), with the endpoint: for a socket that has several.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use zmq_auth::{Handshake, MonitoredSocket, SocketExt, zmq};
    /// # let context = zmq::Context::new();
    /// # let (server, client) = (context.socket(zmq::PULL)?, context.socket(zmq::PUSH)?);
    /// # server.bind("tcp://127.0.0.1:*")?;
    /// # let endpoint = server.endpoint()?;
    /// let mut client = MonitoredSocket::new(&context, client)?;
    /// client.connect(&endpoint)?;
    /// let event = client.wait_for_event(Duration::from_secs(10))?.expect("it is there");
    /// assert_eq!((event.handshake, event.endpoint), (Handshake::Authenticated, endpoint));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Zmq`] when the context has ended.
    pub fn wait_for_event(&mut self, timeout: Duration) -> Result<Option<HandshakeEvent>> {
        // A deadline past the range of the clock is no deadline.
        let deadline = Instant::now().checked_add(timeout);
        let failed = |source: zmq::Error| Error::Zmq { action: "read the monitor", source: source.into() };
        loop {
            let wait = deadline.map_or(-1, |deadline| {
                let left = deadline.saturating_duration_since(Instant::now());
                i64::try_from(left.as_millis()).unwrap_or(i64::MAX).saturating_add(i64::from(!left.is_zero()))
            });
            match self.events.poll(zmq::POLLIN, wait) {
                Err(zmq::Error::EINTR) => continue,
                Ok(0) => return Ok(None),
                ready => ready.map_err(failed)?,
            };
            let frames = self.events.recv_multipart(0).map_err(failed)?;
            let [event, endpoint, ..] = &frames[..] else { continue };
            let endpoint = String::from_utf8_lossy(endpoint).into_owned();
            if let Some(handshake) = self.take(event, &endpoint) {
                return Ok(Some(HandshakeEvent { handshake, endpoint }));
            }
        }
    }

    /// Parses an event frame: a 16-bit event and a 32-bit value, in native byte order (zmq_socket_monitor(3)).
    fn take(&mut self, frame: &[u8], endpoint: &str) -> Option<Handshake> {
        let (event, value) = frame.split_first_chunk::<2>()?;
        let value = u32::from_ne_bytes(*value.first_chunk::<4>()?);
        let event = u16::from_ne_bytes(*event);
        let is = |known: Event| event == known.to_raw();
        if is(Event::CONNECTED) {
            self.failing.remove(endpoint);
            None
        } else if is(Event::CLOSED) {
            self.failing.insert(endpoint.to_owned());
            None
        } else if is(Event::CONNECT_RETRIED) {
            // The first such event after a connection only announces the next attempt. An attempt that fails closes its
            // descriptor first, if it had one. (After each connection, libzmq may write the endpoint in another form.)
            (!self.failing.insert(endpoint.to_owned())).then_some(Handshake::Unreachable)
        } else if is(Event::HANDSHAKE_SUCCEEDED) {
            Some(Handshake::Authenticated)
        } else if is(Event::HANDSHAKE_FAILED_AUTH) {
            Some(Handshake::Denied(value))
        } else if is(Event::HANDSHAKE_FAILED_PROTOCOL) {
            Some(Handshake::Failed(Some(ProtocolError(value))))
        } else if is(Event::HANDSHAKE_FAILED_NO_DETAIL) {
            Some(Handshake::Failed(None))
        } else {
            None
        }
    }
}

/// An unused inproc name for one monitor.
fn unused_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("inproc://zmq-auth.monitor.{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Checks that the socket belongs to the context. A monitor binds an inproc name in its socket's context. If the name is
/// still free in the given one, the two differ, and nobody would ever read the events, which blocks libzmq's I/O thread.
/// So it is tried with a monitor without events.
fn check_context(context: &zmq::Context, socket: &mut zmq::Socket) -> Result<()> {
    let failed = |source| Error::Zmq { action: "compare the contexts", source };
    let (name, probe) = (unused_name(), ffi::open_socket(context, zmq::PAIR).map_err(failed)?);
    ffi::monitor(socket, &name, 0).map_err(failed)?;
    let bound = ffi::bind(&probe, &name);
    ffi::stop_monitor(socket).map_err(failed)?;
    match bound {
        Err(Errno::ADDRESS_IN_USE) => Ok(()),
        Ok(()) => Err(Error::OtherContext),
        Err(error) => Err(failed(error)),
    }
}

impl Deref for MonitoredSocket {
    type Target = zmq::Socket;

    fn deref(&self) -> &zmq::Socket {
        &self.socket
    }
}

impl DerefMut for MonitoredSocket {
    fn deref_mut(&mut self) -> &mut zmq::Socket {
        &mut self.socket
    }
}

impl Drop for MonitoredSocket {
    fn drop(&mut self) {
        // Fails only if the context has ended, and the monitor with it.
        let _ = ffi::stop_monitor(&mut self.socket);
    }
}

impl fmt::Debug for MonitoredSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitoredSocket").finish_non_exhaustive()
    }
}
