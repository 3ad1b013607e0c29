//! The record of decisions: counters, log lines and events. All of them are made from a [`Client`], which holds no password.

mod counters;
mod events;
mod log_limit;

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

pub use counters::Counters;
pub use events::{Event, EventKind, Events};

use crate::address::{Ipv6Prefix, Origin};
use crate::escape::Escaped;
use crate::reason::Reason;
use crate::zap::{Client, Identity, Reply, Status};
use counters::AtomicCounters;
use events::Subscribers;
use log_limit::LogLimiter;

/// The counters, the memory of what was logged, and the streams.
#[derive(Default)]
pub(crate) struct Audit {
    counters: AtomicCounters,
    log_limiter: Mutex<LogLimiter>,
    subscribers: Subscribers,
}

impl Audit {
    /// Counts, logs and publishes one decision.
    pub(crate) fn record(&self, client: &Client<'_>, reason: Reason, reply: &Reply) {
        self.counters.answered(reply.status(), reason);
        if reply.status() == Status::Success {
            if log_enabled!(Info) {
                log_info!("allowed {client}, user id \"{}\"", Escaped(reply.user_id()));
            }
        } else if log_enabled!(Warn) {
            self.warn(client, reply);
        }
        self.subscribers.send(|| event(client, reason, reply));
    }

    fn warn(&self, client: &Client<'_>, reply: &Reply) {
        let origin = Origin::of(&client.address, Ipv6Prefix::Site);
        let admitted = self.log_limiter.lock().unwrap_or_else(PoisonError::into_inner).admit(origin, Instant::now());
        let Some(suppressed) = admitted else { return };
        let word = match reply.status() {
            Status::Retry => "told to retry",
            Status::Fault => "failed",
            Status::Denied | Status::Success => "denied",
        };
        let text = Escaped(reply.text().as_bytes());
        match suppressed {
            0 => log_warn!("{word} {client}: {text}"),
            n => {
                log_warn!("{word} {client}: {text} ({n} more refusals of this address were not logged)")
            }
        }
    }

    /// Counts a request that can't be answered.
    pub(crate) fn dropped(&self) {
        const WHAT: &str = "a ZAP request without envelope or request id";
        self.counters.dropped();
        log_warn!("dropped {WHAT}");
        self.publish(EventKind::Dropped, WHAT);
    }

    /// Reports a callback that has not returned by its deadline, as their number doubles; counts it if it was replaced.
    pub(crate) fn hung(&self, domain: &[u8], replaced: bool, hung: usize) {
        if replaced {
            self.counters.replaced();
        }
        if !hung.is_power_of_two() {
            return;
        }
        let what = match replaced {
            true => "others take their place",
            false => "no more can be replaced: they keep their places",
        };
        let domain = Escaped(domain);
        let text = format!("{hung} callbacks have not returned by their deadline, one of domain \"{domain}\": {what}");
        log_error!("{text}");
        self.publish(EventKind::CallbackHung, &text);
    }

    /// Counts threads that were left behind.
    pub(crate) fn abandoned(&self, threads: usize) {
        if threads > 0 {
            self.counters.abandoned(threads);
            log_error!("stopped with {threads} callbacks that did not return: their threads are left behind");
        }
    }

    /// Publishes an event that is about no client.
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

fn event(client: &Client<'_>, reason: Reason, reply: &Reply) -> Event {
    let kind = match (reply.status(), reason) {
        (_, Reason::Malformed(_)) => EventKind::Malformed,
        (Status::Success, _) => EventKind::Allowed,
        (Status::Denied, _) => EventKind::Denied,
        (Status::Retry, _) => EventKind::Retry,
        (Status::Fault, _) => EventKind::CallbackFailed,
    };
    let shown = |bytes: &[u8]| Escaped(bytes).to_string();
    Event {
        time: SystemTime::now(),
        kind,
        mechanism: shown(&client.mechanism),
        domain: shown(&client.domain),
        address: shown(&client.address),
        client: match &client.identity {
            Identity::Nobody => None,
            Identity::User(name) | Identity::Principal(name) => Some(shown(name)),
            Identity::Key(key) => Some(key.to_string()),
        },
        user_id: (reply.status() == Status::Success).then(|| shown(reply.user_id())),
        status: Some(reply.status().number()),
        reason: shown(reply.text().as_bytes()),
    }
}
