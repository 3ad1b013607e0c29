//! The side of a gate that faces the service. Before anything is sent on a connection, the gate
//! checks who listens at its other end.

use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::unistd::getuid;
use zmq::SocketEvent;
use zmq_auth::{Connection, Error, KeyPair, PublicKey, SocketExt, zmq};

use super::journal::{GateLine, Journal};
use crate::endpoint::{self, Transport};
use crate::escape;
use crate::file;
use crate::output::Failure;

/// The endpoint of a service, and what identifies the service there.
#[derive(Clone)]
pub(crate) enum Service {
    /// An ipc socket on which one of these users listens.
    Ipc { endpoint: String, owners: Vec<u32> },
    /// A port of this machine, on which any local user could listen.
    Local { endpoint: String },
    /// A CURVE server, identified by its key.
    Curve { endpoint: String, keys: KeyPair, server: PublicKey },
}

const EXAMPLES: &str = "Write ipc://PATH, such as ipc:///run/app.sock.";

impl Service {
    /// Reads the endpoint of a service on this machine.
    pub(crate) fn on_this_machine(endpoint: &str, owner: Option<u32>, any_local_user: bool) -> Result<Self, Failure> {
        let shown = escape::text(endpoint);
        let endpoint = endpoint.to_owned();
        match endpoint::parse(&endpoint, EXAMPLES)? {
            (Transport::Ipc, path) if path.starts_with('@') || path == "*" => {
                let problem = "not a path: any local user could listen there";
                Err(Failure::usage(format!("{shown}: {problem}")).hint(EXAMPLES))
            }
            (Transport::Ipc, path) => {
                let owners = owner.map_or_else(|| vec![getuid().as_raw(), 0], |owner| vec![owner]);
                check_directory(Path::new(path), &owners)?;
                Ok(Service::Ipc { endpoint, owners })
            }
            (Transport::Tcp, address) => {
                let is_local = |address: SocketAddr| address.ip().to_canonical().is_loopback();
                if !address.parse().is_ok_and(is_local) {
                    let problem = format!("{shown}: not a loopback address");
                    return Err(Failure::usage(problem)
                        .hint("What is behind a gate has no security: put it on this machine, with ipc://PATH."));
                }
                if !any_local_user {
                    return Err(Failure::usage(format!("{shown}: every local user may reach a service there")).hint(
                        "Use ipc://PATH, or say that they may: --any-local-user-may-reach-the-service, or \
                         any_local_user_may_reach_the_service = true.",
                    ));
                }
                Ok(Service::Local { endpoint })
            }
        }
    }

    pub(crate) fn endpoint(&self) -> &str {
        match self {
            Service::Ipc { endpoint, .. } | Service::Local { endpoint } | Service::Curve { endpoint, .. } => endpoint,
        }
    }
}

/// Fails if anybody but the owners, root and this program's user could replace the socket, and so receive what is sent
/// to the service.
fn check_directory(path: &Path, owners: &[u32]) -> Result<(), Failure> {
    const OTHERS_MAY_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let directory = file::directory(path);
    let failed = |error| Failure::new(format!("{}: cannot read its owner and mode: {error}", escape::path(directory)));
    let whole = fs::canonicalize(directory).map_err(failed)?;
    for (place, directory) in whole.ancestors().enumerate() {
        let metadata = fs::metadata(directory).map_err(failed)?;
        let (owner, mode) = (metadata.uid(), metadata.mode());
        let is_ours = owner == 0 || owner == getuid().as_raw() || owners.contains(&owner);
        // In a sticky directory nobody can replace the files of others, but everybody can create one that is missing.
        let is_open = mode & OTHERS_MAY_WRITE != 0 && (place == 0 || mode & STICKY == 0);
        if !is_ours || is_open {
            let problem = if is_open { "others may write to it" } else { "it belongs to another user" };
            let shown = escape::path(directory);
            return Err(Failure::new(format!("{shown}: {problem}, and could put their own socket there"))
                .hint("Choose a directory that only the service's user can write to."));
        }
    }
    Ok(())
}

/// The socket that is connected to the service, and its monitor.
pub(super) struct Back {
    pub(super) socket: zmq::Socket,
    pub(super) monitor: zmq::Socket,
    service: Service,
    connection: Stage,
    /// Counts connections and their ends.
    events: u64,
    /// A connection was ready and ended before it was checked; its messages may still be queued.
    is_doubtful: bool,
    /// The handshake failed because the connection ended: libzmq reconnects by itself.
    is_retried: bool,
    /// When to reconnect after a failed handshake. libzmq doesn't if the other end speaks another protocol or has the
    /// wrong socket type, although the right service may start later.
    again: Option<Instant>,
    /// Whether failing handshakes have been reported already.
    was_told: bool,
}

/// The progress of the connection to the service.
#[derive(Clone, Copy, Default)]
struct Stage {
    /// The connection's descriptor, until it is known who is at the other end.
    unchecked: Option<RawFd>,
    is_checked: bool,
    is_ready: bool,
}

/// Who is at the other end of a connection.
enum Seen {
    Owner,
    Other(Connection, u32),
    /// Not known now.
    Unknown,
}

/// The pause after a failed handshake.
const AGAIN: Duration = Duration::from_secs(1);

const WATCHED: i32 = SocketEvent::CONNECTED as i32
    | SocketEvent::DISCONNECTED as i32
    | SocketEvent::HANDSHAKE_SUCCEEDED as i32
    | SocketEvent::HANDSHAKE_FAILED_NO_DETAIL as i32
    | SocketEvent::HANDSHAKE_FAILED_AUTH as i32;

impl Back {
    pub(super) fn connect(
        context: &zmq::Context,
        socket_type: zmq::SocketType,
        service: Service,
    ) -> Result<Self, Failure> {
        let failed = |error: zmq::Error| Failure::from(Error::from(error));
        let mut socket = context.socket(socket_type).map_err(failed)?;
        socket.set_linger(0).map_err(failed)?;
        // One I/O thread for everything about a connection, so that its events arrive in order.
        socket.set_affinity(1).map_err(failed)?;
        if socket_type == zmq::XSUB {
            // A service that comes back is sent all subscriptions at once, and libzmq would drop those beyond the mark.
            socket.set_sndhwm(0).map_err(failed)?;
            // No queue while there is no connection, since it would be unbounded.
            socket.set_immediate(true).map_err(failed)?;
        }
        if let Service::Curve { keys, server, .. } = &service {
            socket.curve_client(keys, server)?;
        }
        socket.set_ipv6(is_ipv6(service.endpoint())).map_err(failed)?;
        let monitor = context.socket(zmq::PAIR).map_err(failed)?;
        // With a full queue, libzmq's end would block its I/O thread.
        monitor.set_rcvhwm(0).map_err(failed)?;
        monitor.set_linger(0).map_err(failed)?;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("inproc://gate.monitor.{}", NEXT.fetch_add(1, Ordering::Relaxed));
        socket.monitor(&name, WATCHED).map_err(failed)?;
        monitor.connect(&name).map_err(failed)?;
        let refused = |error| Failure::new(format!("cannot connect to {}: {error}", escape::text(service.endpoint())));
        socket.connect(service.endpoint()).map_err(refused)?;
        Ok(Back {
            socket,
            monitor,
            service,
            connection: Stage::default(),
            events: 0,
            is_doubtful: false,
            is_retried: false,
            again: None,
            was_told: false,
        })
    }

    /// Whether the service is connected, checked, and takes messages.
    pub(super) fn is_ready(&self) -> bool {
        self.connection.is_checked && self.connection.is_ready
    }

    /// Whether there is a connection whose other end isn't known yet.
    pub(super) fn is_unchecked(&self) -> bool {
        self.connection.unchecked.is_some()
    }

    /// Whether messages from a connection that ended unchecked may be queued.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Whether messages that were received before the last `take_events` are the service's. `drained`: none is left.
    pub(super) fn is_trusted(&mut self, drained: bool) -> bool {
        let is_trusted = !self.is_unchecked() && !self.is_doubtful;
        self.is_doubtful &= !drained;
        is_trusted
    }

    /// Reconnects if libzmq doesn't by itself. Messages that it had accepted for the service are lost.
    pub(super) fn connect_again(&mut self) -> zmq::Result<()> {
        if self.again.is_none_or(|again| Instant::now() < again) {
            return Ok(());
        }
        self.again = None;
        self.connection = Stage::default();
        // Fails if libzmq has already given up the endpoint.
        let _ = self.socket.disconnect(self.service.endpoint());
        self.socket.connect(self.service.endpoint())
    }

    /// Processes all events, checks a new connection, and returns whether one was lost. Must be called before each
    /// batch is sent: the event of a new connection comes before the connection takes messages.
    ///
    /// An `Err` ends the gate: another user listens there, or the server refuses the tunnel's key.
    pub(super) fn take_events(&mut self, journal: &Journal) -> Result<bool, Failure> {
        let mut is_lost = self.take_all(journal)?;
        while let Some(descriptor) = self.connection.unchecked {
            let (events, seen) = (self.events, self.look(descriptor));
            is_lost |= self.take_all(journal)?;
            if events != self.events {
                // Meanwhile the descriptor may have been another connection's: check again.
                continue;
            }
            match seen {
                Seen::Owner => (self.connection.unchecked, self.connection.is_checked) = (None, true),
                Seen::Other(connection, uid) => {
                    let _ = connection.disconnect();
                    return Err(self.somebody_else(uid));
                }
                Seen::Unknown => break,
            }
        }
        Ok(is_lost)
    }

    fn take_all(&mut self, journal: &Journal) -> Result<bool, Failure> {
        let mut is_lost = false;
        loop {
            let frames = match self.monitor.recv_multipart(zmq::DONTWAIT) {
                Ok(frames) => frames,
                Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => return Ok(is_lost),
                Err(error) => return Err(Error::from(error).into()),
            };
            // A 16-bit event and a 32-bit value, in the machine's byte order (zmq_socket_monitor(3)).
            let Some((event, value)) = frames.first().and_then(|frame| frame.split_first_chunk::<2>()) else {
                continue;
            };
            let value = value.first_chunk::<4>().map_or(-1, |value| i32::from_ne_bytes(*value));
            let event = u16::from_ne_bytes(*event);
            is_lost |= event == SocketEvent::DISCONNECTED.to_raw();
            self.take(event, value, journal)?;
        }
    }

    fn take(&mut self, event: u16, value: i32, journal: &Journal) -> Result<(), Failure> {
        let is = |known: SocketEvent| event == known.to_raw();
        let line = |event, reason: Option<&str>| {
            journal.write(GateLine { event, reason: reason.map(str::to_owned), ..GateLine::default() })
        };
        if is(SocketEvent::CONNECTED) {
            let is_ipc = matches!(self.service, Service::Ipc { .. });
            self.connection = Stage { unchecked: is_ipc.then_some(value), is_checked: !is_ipc, is_ready: false };
            self.is_retried = false;
            self.events += 1;
        } else if is(SocketEvent::HANDSHAKE_SUCCEEDED) {
            (self.connection.is_ready, self.was_told, self.again) = (true, false, None);
            line("ServiceConnected", None);
        } else if is(SocketEvent::HANDSHAKE_FAILED_NO_DETAIL) {
            self.is_retried = true;
        } else if is(SocketEvent::DISCONNECTED) {
            let lost = std::mem::take(&mut self.connection);
            self.is_doubtful |= lost.is_ready && !lost.is_checked;
            self.events += 1;
            if lost.is_ready {
                line("ServiceLost", None);
            } else {
                self.again = (!self.is_retried).then(|| Instant::now() + AGAIN);
                if !std::mem::replace(&mut self.was_told, true) {
                    let reason = match self.service {
                        Service::Curve { .. } => "no handshake: is it the server's key, and the right kind?",
                        _ => "no handshake: is the service's socket of the right kind, and without security?",
                    };
                    line("ServiceHandshakeFailed", Some(reason));
                }
            }
        } else if is(SocketEvent::HANDSHAKE_FAILED_AUTH) && value == DENIED {
            let shown = escape::text(self.service.endpoint());
            return Err(Failure::denied(format!("{shown}: denied ({value}): the server refuses this client"))
                .hint("libzmq doesn't try again. Does the server's policy have this key, and this address?"));
        } else if is(SocketEvent::HANDSHAKE_FAILED_AUTH) && !std::mem::replace(&mut self.was_told, true) {
            line("ServiceHandshakeFailed", Some(&format!("the server can't decide now ({value}); it is asked again")));
        }
        Ok(())
    }

    /// Checks the other end of the connection that has this descriptor now, perhaps another than the one meant.
    fn look(&self, descriptor: RawFd) -> Seen {
        let Service::Ipc { owners, .. } = &self.service else { return Seen::Owner };
        let connection = Connection::of_descriptor(descriptor);
        match connection.and_then(|connection| Ok((connection, connection.ipc_peer()?))) {
            Ok((_, Some(peer))) if owners.contains(&peer.uid) => Seen::Owner,
            Ok((connection, Some(peer))) => Seen::Other(connection, peer.uid),
            // The connection has ended, which an event will report, or the descriptor isn't an ipc connection's any
            // more.
            Ok((_, None)) | Err(_) => Seen::Unknown,
        }
    }

    fn somebody_else(&self, uid: u32) -> Failure {
        let Service::Ipc { endpoint, owners } = &self.service else { return Failure::new("somebody else listens") };
        let expected: Vec<_> = owners.iter().map(u32::to_string).collect();
        let problem = format!("{}: its listener is user {uid}, not {}", escape::text(endpoint), expected.join(" or "));
        Failure::new(problem).hint("If that is the service's user, say so with --back-uid, or back_uid in the table.")
    }
}

/// The ZAP status of a refused client; other codes are worth retrying.
const DENIED: i32 = 400;

/// Whether to enable IPv6. If it is enabled, libzmq uses the IPv6 address of every name that has one, even if the
/// server listens only on its IPv4 address.
fn is_ipv6(endpoint: &str) -> bool {
    let Some(address) = endpoint.strip_prefix("tcp://") else { return false };
    let addresses = address.to_socket_addrs().map(Vec::from_iter).unwrap_or_default();
    !addresses.is_empty() && addresses.iter().all(SocketAddr::is_ipv6)
}

/// Whether a TCP address is one of this machine alone; its port may be `*`.
pub(crate) fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}
