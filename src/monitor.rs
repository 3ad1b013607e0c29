//! Reports the outcome of a handshake to the peer; libzmq itself tells a refused client nothing.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zmq::SocketEvent as Event;

use crate::error::{Error, Result};
use crate::ffi;

/// How one attempt to connect ended.
///
/// ```
/// use zmq_auth::Handshake;
/// assert_eq!(Handshake::Denied(400).to_string(), "denied (400)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Handshake {
    /// The handshake is over, and messages flow. (For a NULL server without a ZAP domain, nobody was asked.)
    Authenticated,
    /// The server's ZAP handler refused: 400 or 500, and on the server's side 300 as well (of which the client hears
    /// nothing). libzmq's client doesn't try again.
    Denied(u32),
    /// The ends don't fit: another mechanism, or a server key that isn't the server's. A server that enforces its domain
    /// while no ZAP handler runs looks the same. The client tries for ever. Where libzmq says more, this is its
    /// `ZMQ_PROTOCOL_ERROR_*` number.
    WrongServerKeyOrMechanism(Option<u32>),
    /// Nobody listens at the endpoint. The client tries for ever.
    Unreachable,
}

impl fmt::Display for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Handshake::Authenticated => f.write_str("authenticated"),
            Handshake::Denied(code) => write!(f, "denied ({code})"),
            Handshake::WrongServerKeyOrMechanism(_) => {
                f.write_str("no handshake: the keys or mechanisms don't fit, or no ZAP handler runs")
            }
            Handshake::Unreachable => f.write_str("nobody listens there"),
        }
    }
}

/// A socket whose handshakes can be waited for. It derefs to the socket; put it around a new one, before bind or connect.
///
/// libzmq tells a refused client nothing: `send` still queues, and `recv` waits for ever. This is how it learns.
///
/// The socket and its monitor are kept together because a monitor that nobody reads, or whose reader is gone, can block
/// libzmq's I/O thread: what isn't waited for is kept (some 100 bytes a handshake; on a server that strangers knock at, do
/// wait now and then), and dropping this stops the monitor first, then closes both.
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
    connected: bool,
}

const WATCHED: i32 = Event::CONNECTED as i32
    | Event::CONNECT_RETRIED as i32
    | Event::HANDSHAKE_SUCCEEDED as i32
    | Event::HANDSHAKE_FAILED_AUTH as i32
    | Event::HANDSHAKE_FAILED_PROTOCOL as i32
    | Event::HANDSHAKE_FAILED_NO_DETAIL as i32;

impl MonitoredSocket {
    /// Starts to watch a socket of this context.
    ///
    /// # Errors
    /// [`Error::Zmq`] when the context has ended or has no socket left.
    pub fn new(context: &zmq::Context, mut socket: zmq::Socket) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let endpoint = format!("inproc://zmq-auth.monitor.{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let failed = |action| move |error: zmq::Error| Error::Zmq { action, source: error.into() };
        let events = context.socket(zmq::PAIR).map_err(failed("open a monitor"))?;
        // libzmq's end waits when the queue is full, and holds up the I/O thread with it.
        events.set_rcvhwm(0).map_err(failed("set up a monitor"))?;
        events.set_linger(0).map_err(failed("set up a monitor"))?;
        socket.monitor(&endpoint, WATCHED).map_err(failed("monitor the socket"))?;
        if let Err(error) = events.connect(&endpoint) {
            let _ = ffi::stop_monitor(&mut socket);
            return Err(failed("connect to the monitor")(error));
        }
        Ok(MonitoredSocket { socket, events, connected: false })
    }

    /// Waits for the end of the next handshake, of any of the socket's endpoints; `None` when the time is over. What
    /// happened before the call counts: nothing is missed, and each result is told once.
    ///
    /// # Errors
    /// [`Error::Zmq`] when the context has ended.
    pub fn wait_for_handshake(&mut self, timeout: Duration) -> Result<Option<Handshake>> {
        // A time that no clock can tell is no deadline.
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
            if let Some(handshake) = frames.first().and_then(|event| self.take(event)) {
                return Ok(Some(handshake));
            }
        }
    }

    /// The event frame: a 16-bit event and a 32-bit value, in the machine's byte order (zmq_socket_monitor(3)).
    fn take(&mut self, frame: &[u8]) -> Option<Handshake> {
        let (event, value) = frame.split_first_chunk::<2>()?;
        let value = u32::from_ne_bytes(*value.first_chunk::<4>()?);
        let event = u16::from_ne_bytes(*event);
        let is = |known: Event| event == known.to_raw();
        if is(Event::CONNECTED) {
            self.connected = true;
            None
        } else if is(Event::CONNECT_RETRIED) {
            // Behind a connection that failed later, the handshake has told why.
            (!std::mem::take(&mut self.connected)).then_some(Handshake::Unreachable)
        } else if is(Event::HANDSHAKE_SUCCEEDED) {
            Some(Handshake::Authenticated)
        } else if is(Event::HANDSHAKE_FAILED_AUTH) {
            Some(Handshake::Denied(value))
        } else if is(Event::HANDSHAKE_FAILED_PROTOCOL) {
            Some(Handshake::WrongServerKeyOrMechanism(Some(value)))
        } else if is(Event::HANDSHAKE_FAILED_NO_DETAIL) {
            Some(Handshake::WrongServerKeyOrMechanism(None))
        } else {
            None
        }
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
        // Fails only when the context has ended, and the monitor with it.
        let _ = ffi::stop_monitor(&mut self.socket);
    }
}

impl fmt::Debug for MonitoredSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitoredSocket").finish_non_exhaustive()
    }
}
