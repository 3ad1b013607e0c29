//! What was decided: counted, logged, and handed to whoever listens. Only what a [`Subject`] holds is written, and there
//! is no password in it.

mod counters;
mod events;
mod refusals;
mod text;

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime};

pub use counters::Counters;
pub use events::{Event, EventKind, Events};
pub(crate) use text::Cut;

use crate::policy::Reason;
use crate::zap::{Reply, Status, Subject, Who};
use counters::Tally;
use events::Streams;
use refusals::{Origin, Refusals};

/// The target of every log record of this crate.
pub(crate) const TARGET: &str = "zmq_auth";

/// The counters, the memory of what was logged, and the streams.
#[derive(Default)]
pub(crate) struct Audit {
    tally: Tally,
    refusals: Mutex<Refusals>,
    streams: Streams,
}

impl Audit {
    /// Counts, logs and tells one answer.
    pub(crate) fn record(&self, subject: &Subject<'_>, reason: Reason, reply: &Reply) {
        self.tally.answered(reply.status(), reason);
        if reply.status() == Status::Success {
            if log::log_enabled!(target: TARGET, log::Level::Info) {
                log::info!(target: TARGET, "allowed {subject}, user id \"{}\"", Cut(reply.user_id()));
            }
        } else if log::log_enabled!(target: TARGET, log::Level::Warn) {
            self.warn(subject, reply);
        }
        self.streams.send(|| event(subject, reason, reply));
    }

    fn warn(&self, subject: &Subject<'_>, reply: &Reply) {
        let origin = Origin::of(&subject.address);
        let admitted = self.refusals.lock().unwrap_or_else(PoisonError::into_inner).admit(origin, Instant::now());
        let Some(suppressed) = admitted else { return };
        let word = match reply.status() {
            Status::Retry => "put off",
            Status::Fault => "failed",
            Status::Denied | Status::Success => "denied",
        };
        let text = Cut(reply.text().as_bytes());
        match suppressed {
            0 => log::warn!(target: TARGET, "{word} {subject}: {text}"),
            n => {
                log::warn!(target: TARGET, "{word} {subject}: {text} ({n} more refusals of this address were not logged)")
            }
        }
    }

    /// Counts a request that can't be answered.
    pub(crate) fn dropped(&self) {
        const WHAT: &str = "a ZAP request without envelope or request id";
        self.tally.dropped();
        log::warn!(target: TARGET, "dropped {WHAT}");
        self.tell(EventKind::Dropped, WHAT);
    }

    /// Counts threads that were left behind.
    pub(crate) fn abandoned(&self, threads: usize) {
        if threads > 0 {
            self.tally.abandoned(threads);
            log::error!(
                target: TARGET,
                "stopped with {threads} callbacks that did not return: their threads are left behind"
            );
        }
    }

    /// Tells of something that is about no client.
    pub(crate) fn tell(&self, kind: EventKind, reason: &str) {
        self.streams.send(|| Event::plain(kind, reason.to_owned()));
    }

    pub(crate) fn counters(&self) -> Counters {
        self.tally.snapshot()
    }

    pub(crate) fn events(&self, capacity: usize) -> Events {
        self.streams.open(capacity)
    }
}

fn event(subject: &Subject<'_>, reason: Reason, reply: &Reply) -> Event {
    let kind = match (reply.status(), reason) {
        (_, Reason::Malformed(_)) => EventKind::Malformed,
        (Status::Success, _) => EventKind::Allowed,
        (Status::Denied, _) => EventKind::Denied,
        (Status::Retry, _) => EventKind::PutOff,
        (Status::Fault, _) => EventKind::CallbackFailed,
    };
    let shown = |bytes: &[u8]| Cut(bytes).to_string();
    Event {
        time: SystemTime::now(),
        kind,
        mechanism: shown(&subject.mechanism),
        domain: shown(&subject.domain),
        address: shown(&subject.address),
        client: match &subject.who {
            Who::Nobody => None,
            Who::User(name) | Who::Principal(name) => Some(shown(name)),
            Who::Key(key) => Some(key.to_string()),
        },
        user_id: (reply.status() == Status::Success).then(|| shown(reply.user_id())),
        status: Some(reply.status().number()),
        reason: shown(reply.text().as_bytes()),
    }
}
