//! A plain connection to an endpoint, to find out what libzmq doesn't report: why it can't be reached, and how the
//! other end greets a ZeroMQ client.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::endpoint::Target;
use crate::escape;

/// Whether an endpoint can be reached.
#[derive(Debug)]
pub(super) enum Reach {
    /// Something accepts connections, and sends this greeting.
    Accepts(Greeting),
    /// The host's name can't be resolved, and why.
    NoName(String),
    Refused,
    /// Neither accepted nor refused.
    NoAnswer,
    /// ipc: there is no such file.
    NoFile,
    NoPermission,
    /// Anything else, in the system's words.
    Other(String),
}

/// The answer to a client's first bytes of ZMTP 3 (RFC 23).
#[derive(Debug)]
pub(super) enum Greeting {
    /// ZMTP, with the name of a mechanism.
    Mechanism(String),
    /// Bytes of another protocol, or of ZMTP before version 3, which has no mechanisms.
    OtherProtocol,
    /// Nothing, or the connection was closed.
    Nothing,
    /// The deadline passed before all of it had arrived.
    Unfinished,
}

impl Greeting {
    pub(super) fn summary(&self) -> String {
        match self {
            Greeting::Mechanism(name) => format!("the server's mechanism is {}", escape::text(name)),
            Greeting::OtherProtocol => "the other end is not a ZeroMQ server".to_owned(),
            Greeting::Unfinished => "the connection was made, but the greeting was not complete in time".to_owned(),
            Greeting::Nothing => "the other end accepted the connection, but sent no greeting".to_owned(),
        }
    }
}

impl Reach {
    pub(super) fn summary(&self) -> String {
        match self {
            Reach::Accepts(_) => "nothing accepted connections at first, but something does now".to_owned(),
            Reach::NoName(why) => format!("the host's name can't be resolved ({why})"),
            Reach::Refused => "the connection was refused".to_owned(),
            Reach::NoAnswer => "no answer in time".to_owned(),
            Reach::NoFile => "no such file".to_owned(),
            Reach::NoPermission => "no permission to connect".to_owned(),
            Reach::Other(why) => why.clone(),
        }
    }
}

/// The time after `end` for the thread of [`probe`] to return: its reads end at `end`, and the machine may be busy.
const GRACE: Duration = Duration::from_millis(500);

/// Connects, reads the greeting, and closes the connection. To the server, the client left during the handshake.
pub(super) fn probe(target: &Target, end: Instant) -> Reach {
    let target = target.clone();
    let left = move || end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let is_connected = Arc::new(AtomicBool::new(false));
    let connected = is_connected.clone();
    let connect = move || -> io::Result<Greeting> {
        match &target {
            Target::Tcp { addresses, .. } => {
                let address = addresses.first().ok_or(ErrorKind::AddrNotAvailable)?;
                let stream = TcpStream::connect_timeout(address, left())?;
                connected.store(true, Ordering::Relaxed);
                Ok(greeting(stream, |stream| stream.set_read_timeout(Some(left()))))
            }
            Target::Ipc(path) => {
                let stream = connect_ipc(path)?;
                connected.store(true, Ordering::Relaxed);
                Ok(greeting(stream, |stream| stream.set_read_timeout(Some(left()))))
            }
        }
    };
    match within(end + GRACE, connect) {
        // It accepted the connection, so it can be reached, however long the rest takes.
        None if is_connected.load(Ordering::Relaxed) => Reach::Accepts(Greeting::Unfinished),
        None => Reach::NoAnswer,
        Some(Ok(greeting)) => Reach::Accepts(greeting),
        Some(Err(error)) => match error.kind() {
            ErrorKind::ConnectionRefused => Reach::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Reach::NoAnswer,
            ErrorKind::NotFound => Reach::NoFile,
            ErrorKind::PermissionDenied => Reach::NoPermission,
            _ => Reach::Other(error.to_string()),
        },
    }
}

/// Sends only the first bytes of a greeting: a whole one with another mechanism would make the server hang up, perhaps
/// before it has sent its own mechanism. `limit` sets the timeout of each read to the time left.
fn greeting<S: Read + Write>(mut stream: S, limit: impl Fn(&S) -> io::Result<()>) -> Greeting {
    const SIGNATURE_AND_VERSION: [u8; 11] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3];
    /// Signature, version, and mechanism.
    const LENGTH: usize = 10 + 2 + 20;
    let mut bytes = [0; LENGTH];
    let mut length = 0;
    let _ = stream.write_all(&SIGNATURE_AND_VERSION);
    let mut is_late = false;
    while length < LENGTH && limit(&stream).is_ok() {
        match stream.read(&mut bytes[length..]) {
            Ok(0) => break,
            Err(error) => {
                is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                break;
            }
            Ok(count) => length += count,
        }
    }
    if length == 0 {
        return Greeting::Nothing;
    }
    let is_a_beginning = bytes[0] == 0xFF && (length < 10 || bytes[9] == 0x7F) && (length < 11 || bytes[10] >= 3);
    if length < LENGTH && is_late && is_a_beginning {
        return Greeting::Unfinished;
    }
    if length < LENGTH || bytes[0] != 0xFF || bytes[9] != 0x7F || bytes[10] < 3 {
        return Greeting::OtherProtocol;
    }
    let name = bytes[12..].split(|byte| *byte == 0).next().unwrap_or_default();
    Greeting::Mechanism(String::from_utf8_lossy(name).into_owned())
}

fn connect_ipc(path: &Path) -> io::Result<UnixStream> {
    // libzmq writes a name in Linux's abstract namespace with an @.
    #[cfg(target_os = "linux")]
    if let Some(name) = path.to_str().and_then(|path| path.strip_prefix('@')) {
        use std::os::linux::net::SocketAddrExt;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return UnixStream::connect_addr(&address);
    }
    UnixStream::connect(path)
}

/// Runs a call that has no timeout of its own. Returns `None` at the deadline; the call's thread then goes on until the
/// program ends.
pub(super) fn within<T: Send + 'static>(end: Instant, call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    // If no thread can be started, there is no answer, as after the deadline.
    let started = thread::Builder::new().spawn(move || sender.send(call()));
    started.ok()?;
    receiver.recv_timeout(end.saturating_duration_since(Instant::now()) + Duration::from_millis(5)).ok()
}
