//! Counters of decisions.

use std::sync::atomic::{AtomicU64, Ordering};

use super::metrics;
use crate::reason::Reason;
use crate::zap::{Client, Status};

/// Counts of requests by their outcome. They only grow.
///
/// With the feature `metrics`, the same counts and more go through the `metrics` facade: "Metrics" in
/// [`operation`](crate::operation) lists them.
///
/// ```
/// let auth = zmq_auth::Authenticator::new();
/// let before = auth.counters();
/// let null: [&[u8]; 6] = [b"1.0", b"1", b"", b"127.0.0.1", b"", b"NULL"];
/// auth.handle_zap_message(&null);
/// assert_eq!(auth.counters().allowed, before.allowed + 1);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Answered 200.
    pub allowed: u64,
    /// Answered 400.
    pub denied: u64,
    /// Answered 300, for any reason.
    pub retried: u64,
    /// Answered 500.
    pub faults: u64,
    /// Not answered: too few frames to reply to.
    pub dropped: u64,
    /// Answered 300 because too many callbacks were running.
    pub calls_refused: u64,
    /// Answered 300 because the callback took too long.
    pub calls_timed_out: u64,
    /// Callbacks that had not returned by their deadline, and whose place was given to another.
    pub calls_replaced: u64,
    /// Threads whose callback had not returned when the handler stopped, and which were left behind.
    pub calls_abandoned: u64,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct AtomicCounters {
    allowed: AtomicU64,
    denied: AtomicU64,
    retried: AtomicU64,
    faults: AtomicU64,
    dropped: AtomicU64,
    calls_refused: AtomicU64,
    calls_timed_out: AtomicU64,
    calls_replaced: AtomicU64,
    calls_abandoned: AtomicU64,
}

impl AtomicCounters {
    pub(super) fn answered(&self, client: &Client<'_>, status: Status, reason: Reason) {
        metrics::answered(status, &client.mechanism, &client.domain);
        match status {
            Status::Success => add(&self.allowed, 1),
            Status::Denied => add(&self.denied, 1),
            Status::Retry => add(&self.retried, 1),
            Status::Fault => add(&self.faults, 1),
        }
        match reason {
            Reason::TooManyCalls => {
                add(&self.calls_refused, 1);
                metrics::call_refused();
            }
            Reason::TimedOut => {
                add(&self.calls_timed_out, 1);
                metrics::call_timed_out();
            }
            _ => {}
        }
    }

    pub(super) fn dropped(&self) {
        add(&self.dropped, 1);
        metrics::dropped();
    }

    pub(super) fn replaced(&self) {
        add(&self.calls_replaced, 1);
        metrics::call_replaced();
    }

    pub(super) fn abandoned(&self, threads: usize) {
        add(&self.calls_abandoned, threads as u64);
        metrics::calls_abandoned(threads);
    }

    pub(super) fn snapshot(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            allowed: read(&self.allowed),
            denied: read(&self.denied),
            retried: read(&self.retried),
            faults: read(&self.faults),
            dropped: read(&self.dropped),
            calls_refused: read(&self.calls_refused),
            calls_timed_out: read(&self.calls_timed_out),
            calls_replaced: read(&self.calls_replaced),
            calls_abandoned: read(&self.calls_abandoned),
        }
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
