//! The record of decisions: counters, log lines and events, all made from a [`Client`], which holds no password.

mod counters;
mod events;
mod log_limit;
pub(crate) mod metrics;

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

pub use counters::Counters;
pub use events::{Event, EventKind, Events};

use crate::address::{AddressFrame, Ipv6Prefix, Origin};
use crate::escape::Escaped;
use crate::reason::Reason;
use crate::zap::{Client, Identity, Reply, Status};
use counters::AtomicCounters;
use events::Subscribers;
use log_limit::{LeftOut, LogLimiter};

/// Where decisions are recorded.
#[derive(Default)]
pub(crate) struct Audit {
    counters: AtomicCounters,
    // Separate, so that lines about accepted clients can't use up those about refused ones.
    allowed_limiter: Mutex<LogLimiter>,
    refused_limiter: Mutex<LogLimiter>,
    subscribers: Subscribers,
}

impl Audit {
    /// Counts, logs and publishes one decision.
    pub(crate) fn record(&self, client: &Client<'_>, reason: Reason, reply: &Reply) {
        self.counters.answered(client, reply.status(), reason);
        if reply.status() == Status::Success {
            if log_enabled!(Info)
                && let Some(left_out) = admit(&self.allowed_limiter, &client.address)
            {
                log_info!("allowed {client}, user id \"{}\"{left_out}", Escaped(reply.user_id()));
            }
        } else if log_enabled!(Warn)
            && let Some(left_out) = admit(&self.refused_limiter, &client.address)
        {
            let word = match reply.status() {
                Status::Retry => "told to retry",
                Status::Fault => "failed",
                Status::Denied | Status::Success => "denied",
            };
            log_warn!("{word} {client}: {}{left_out}", Escaped(reply.text().as_bytes()));
        }
        self.subscribers.send(|| event(client, reason, reply));
    }

    /// Counts, logs and publishes a request that can't be replied to.
    pub(crate) fn dropped(&self) {
        const WHAT: &str = "a ZAP request without envelope or request id";
        self.counters.dropped();
        if log_enabled!(Warn)
            && let Some(left_out) = admit(&self.refused_limiter, &AddressFrame::default())
        {
            log_warn!("dropped {WHAT}{left_out}");
        }
        self.publish(EventKind::Dropped, WHAT);
    }

    /// Logs how many lines were omitted and not yet reported, when a handler stops.
    pub(crate) fn log_left_out(&self) {
        let allowed = lock(&self.allowed_limiter).take_left_out();
        let refused = lock(&self.refused_limiter).take_left_out();
        if allowed + refused > 0 {
            log_warn!("suppressed {allowed} log lines about accepted clients and {refused} about refused ones");
        }
    }

    /// Reports a callback that has not returned by its deadline, when their number is a power of two; counts it if it was replaced.
    pub(crate) fn hung(&self, domain: &[u8], replaced: bool, hung: usize) {
        if replaced {
            self.counters.replaced();
        }
        if !hung.is_power_of_two() {
            return;
        }
        let state = match replaced {
            true => "replaced by others",
            false => "that keep their places, because no more can be replaced",
        };
        let domain = Escaped(domain);
        let text = format!("callbacks past their deadline, {state}: {hung}, the latest in domain \"{domain}\"");
        log_error!("{text}");
        self.publish(EventKind::CallbackHung, &text);
    }

    /// Counts and logs threads that were left behind.
    pub(crate) fn abandoned(&self, threads: usize) {
        if threads > 0 {
            self.counters.abandoned(threads);
            log_error!("stopped with callbacks still running; threads left behind: {threads}");
        }
    }

    /// Publishes an event that isn't about a client.
    pub(crate) fn publish(&self, kind: EventKind, reason: &str) {
        self.subscribers.send(|| Event::plain(kind, reason.to_owned()));
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters.snapshot()
    }

    pub(crate) fn events(&self, capacity: usize) -> Events {
        self.subscribers.open(capacity)
    }
}

fn admit(limiter: &Mutex<LogLimiter>, address: &AddressFrame<'_>) -> Option<LeftOut> {
    lock(limiter).admit(Origin::of(address, Ipv6Prefix::Site), Instant::now())
}

fn lock(limiter: &Mutex<LogLimiter>) -> MutexGuard<'_, LogLimiter> {
    limiter.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.here, self.elsewhere) {
            (0, 0) => Ok(()),
            (here, 0) => write!(f, " ({here} more from this address suppressed)"),
            (0, elsewhere) => write!(f, " ({elsewhere} more from other addresses suppressed)"),
            (here, elsewhere) => write!(f, " ({here} more from this address and {elsewhere} from others suppressed)"),
        }
    }
}

fn event(client: &Client<'_>, reason: Reason, reply: &Reply) -> Event {
    let kind = match (reply.status(), reason) {
        (_, Reason::Malformed(_)) => EventKind::Malformed,
        (Status::Success, _) => EventKind::Allowed,
        (Status::Denied, _) => EventKind::Denied,
        (Status::Retry, _) => EventKind::Retry,
        (Status::Fault, _) => EventKind::CallbackFailed,
    };
    Event {
        time: SystemTime::now(),
        kind,
        mechanism: text(&client.mechanism),
        domain: text(&client.domain),
        address: text(&client.address),
        client: match &client.identity {
            Identity::Nobody => None,
            Identity::User(name) | Identity::Principal(name) => Some(text(name)),
            Identity::Key(key) => Some(key.to_string()),
        },
        user_id: (reply.status() == Status::Success).then(|| text(reply.user_id())),
        status: Some(reply.status().number()),
        reason: text(reply.text().as_bytes()),
    }
}

/// Text as it arrived, cut at a length that no frame of libzmq's requests reaches.
fn text(bytes: &[u8]) -> String {
    const LONGEST: usize = 1024;
    String::from_utf8_lossy(bytes.get(..LONGEST).unwrap_or(bytes)).into_owned()
}
