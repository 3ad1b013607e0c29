//! The handshakes of `ping`, with one socket type after the other.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Serialize, Serializer};
use zmq_auth::{Handshake, MonitoredSocket, ProtocolError, Role, SocketExt, zmq};

use super::causes::{Mechanism, OTHER_MECHANISM};
use super::endpoint::Target;
use crate::escape;
use crate::output::Failure;

/// A client's socket type. One of them fits almost every server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum SocketType {
    Dealer,
    Sub,
    Push,
}

/// The result for a socket type.
#[derive(Serialize)]
pub(super) struct Attempt {
    /// `DEALER`, `SUB` or `PUSH`.
    #[serde(rename = "type")]
    pub(super) socket_type: SocketType,
    /// `authenticated`, `denied`, `closed` (by the server, during the handshake), `violation` (of the protocol, says
    /// libzmq), `silent` (nothing until the deadline) or `unreachable`.
    pub(super) outcome: AttemptOutcome,
    /// How long it took.
    pub(super) milliseconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    Authenticated,
    Denied(u32),
    Closed,
    Violation(ProtocolError),
    Silent,
    Unreachable,
}

/// How long a NULL client waits before it tries the next type in parallel. A libzmq client reports nothing if the
/// server's socket type doesn't fit.
const NULL_SILENCE: Duration = Duration::from_millis(400);
/// A server that hangs up this late has itself waited in vain, so it counts as silent.
const LATE: Duration = Duration::from_secs(1);

/// Tries the types until one is authenticated or denied, or no other can be.
pub(super) fn run(
    endpoint: &str,
    target: &Target,
    mechanism: Mechanism,
    role: &Role,
    types: &[SocketType],
    (start, end): (Instant, Instant),
) -> Result<Vec<Attempt>, Failure> {
    let context = zmq::Context::new();
    let patience = match mechanism {
        Mechanism::Null => NULL_SILENCE.min((end - start) / 8),
        _ => Duration::MAX,
    };
    let mut waiting = types.iter().copied();
    let mut running: Vec<Running> = Vec::new();
    let mut ended: Vec<Attempt> = Vec::new();
    loop {
        let is_impatient = running.last().is_none_or(|last| last.start.elapsed() >= patience);
        if is_impatient && let Some(socket_type) = waiting.next() {
            running.push(Running::start(&context, endpoint, target, role, socket_type)?);
        }
        let left = end.saturating_duration_since(Instant::now());
        if running.is_empty() || left.is_zero() {
            ended.extend(running.into_iter().map(|attempt| attempt.ended(AttemptOutcome::Silent)));
            return Ok(ended);
        }
        // If several are running, check them in turn.
        let turn = if running.len() == 1 { patience } else { Duration::from_millis(5) };
        for index in (0..running.len()).rev() {
            let Some(event) = running[index].socket.wait_for_event(left.min(turn))? else { continue };
            let attempt = running.remove(index);
            let attempt = match event.handshake {
                Handshake::Authenticated => attempt.ended(AttemptOutcome::Authenticated),
                Handshake::Denied(status) => attempt.ended(AttemptOutcome::Denied(status)),
                Handshake::Unreachable => attempt.ended(AttemptOutcome::Unreachable),
                Handshake::Failed(Some(error)) => attempt.ended(AttemptOutcome::Violation(error)),
                _ if attempt.start.elapsed() >= LATE => attempt.ended(AttemptOutcome::Silent),
                _ => attempt.ended(AttemptOutcome::Closed),
            };
            let is_last = attempt.outcome.ends_all();
            ended.push(attempt);
            if is_last {
                return Ok(ended);
            }
        }
    }
}

/// The milliseconds since `start`, rounded down.
pub(super) fn milliseconds(start: Instant) -> u64 {
    start.elapsed().as_millis().try_into().unwrap_or(u64::MAX)
}

struct Running {
    socket_type: SocketType,
    socket: MonitoredSocket,
    start: Instant,
}

impl Running {
    fn start(
        context: &zmq::Context,
        endpoint: &str,
        target: &Target,
        role: &Role,
        socket_type: SocketType,
    ) -> Result<Self, Failure> {
        let failed = |error: zmq::Error| Failure::from(zmq_auth::Error::from(error));
        let socket = context.socket(socket_type.number()).map_err(failed)?;
        socket.set_linger(0).map_err(failed)?;
        socket.set_ipv6(target.needs_ipv6()).map_err(failed)?;
        // No handshake timeout of libzmq's own, to tell a server that hangs up from a silent one.
        socket.set_handshake_ivl(0).map_err(failed)?;
        let mut socket = MonitoredSocket::new(context, socket)?;
        let start = Instant::now();
        socket.connect_as(role, endpoint).map_err(|error| {
            Failure::usage(format!("{}: {error}", escape::text(endpoint))).hint("Write tcp://HOST:PORT or ipc://PATH.")
        })?;
        Ok(Running { socket_type, socket, start })
    }

    fn ended(self, outcome: AttemptOutcome) -> Attempt {
        Attempt { socket_type: self.socket_type, outcome, milliseconds: milliseconds(self.start) }
    }
}

impl SocketType {
    pub(super) const ALL: [SocketType; 3] = [SocketType::Dealer, SocketType::Sub, SocketType::Push];

    pub(super) fn name(self) -> &'static str {
        match self {
            SocketType::Dealer => "DEALER",
            SocketType::Sub => "SUB",
            SocketType::Push => "PUSH",
        }
    }

    fn number(self) -> zmq::SocketType {
        match self {
            SocketType::Dealer => zmq::DEALER,
            SocketType::Sub => zmq::SUB,
            SocketType::Push => zmq::PUSH,
        }
    }
}

impl AttemptOutcome {
    pub(super) fn is_decided(self) -> bool {
        matches!(self, AttemptOutcome::Authenticated | AttemptOutcome::Denied(_))
    }

    /// Whether every other socket type would have the same outcome.
    fn ends_all(self) -> bool {
        match self {
            AttemptOutcome::Violation(error) => error.code() == OTHER_MECHANISM,
            AttemptOutcome::Unreachable => true,
            other => other.is_decided(),
        }
    }
}

impl Serialize for AttemptOutcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            AttemptOutcome::Authenticated => "authenticated",
            AttemptOutcome::Denied(_) => "denied",
            AttemptOutcome::Closed => "closed",
            AttemptOutcome::Violation(_) => "violation",
            AttemptOutcome::Silent => "silent",
            AttemptOutcome::Unreachable => "unreachable",
        })
    }
}
