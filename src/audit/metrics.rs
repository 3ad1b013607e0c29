//! What goes through the `metrics` facade, by name. Without the feature `metrics` all of it is nothing.
//!
//! A recorder that panics costs its count, and nothing else.

use crate::zap::Status;

/// Counts an answer. A label's values are bounded: domains come from the server's sockets, and of more than
/// [`MOST_DOMAINS`] the later ones are counted as `other`.
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn answered(status: Status, mechanism: &[u8], domain: &[u8]) {
    #[cfg(feature = "metrics")]
    count(|| {
        let status = match status {
            Status::Success => "200",
            Status::Retry => "300",
            Status::Denied => "400",
            Status::Fault => "500",
        };
        let mechanism = match mechanism {
            b"NULL" => "NULL",
            b"PLAIN" => "PLAIN",
            b"CURVE" => "CURVE",
            b"GSSAPI" => "GSSAPI",
            _ => "other",
        };
        let labels = [
            metrics::Label::from_static_parts("status", status),
            metrics::Label::from_static_parts("mechanism", mechanism),
            metrics::Label::new("domain", domain_label(domain)),
        ];
        metrics::counter!("zmq_auth_answers_total", labels.iter()).increment(1);
    });
}

pub(super) fn dropped() {
    #[cfg(feature = "metrics")]
    count(|| metrics::counter!("zmq_auth_dropped_total").increment(1));
}

pub(super) fn call_refused() {
    #[cfg(feature = "metrics")]
    count(|| metrics::counter!("zmq_auth_calls_refused_total").increment(1));
}

pub(super) fn call_timed_out() {
    #[cfg(feature = "metrics")]
    count(|| metrics::counter!("zmq_auth_calls_timed_out_total").increment(1));
}

pub(super) fn call_replaced() {
    #[cfg(feature = "metrics")]
    count(|| metrics::counter!("zmq_auth_calls_replaced_total").increment(1));
}

#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn calls_abandoned(threads: usize) {
    #[cfg(feature = "metrics")]
    count(|| metrics::counter!("zmq_auth_calls_abandoned_total").increment(threads as u64));
}

/// A store has fallen behind the disk (`true`), or isn't any more.
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(crate) fn store_behind(behind: bool) {
    #[cfg(feature = "metrics")]
    count(|| metrics::gauge!("zmq_auth_stores_behind").increment(if behind { 1.0 } else { -1.0 }));
}

/// One handler's part of the gauges of callbacks. It is taken back when dropped.
#[derive(Debug, Default)]
pub(crate) struct CallGauges {
    #[cfg(feature = "metrics")]
    under_way: usize,
    #[cfg(feature = "metrics")]
    hung: usize,
}

impl CallGauges {
    /// How many callbacks have not returned, and how many of them are past their deadline.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
    pub(crate) fn set(&mut self, under_way: usize, hung: usize) {
        #[cfg(feature = "metrics")]
        {
            let change = |now: usize, before: usize| now as f64 - before as f64;
            if under_way != self.under_way {
                let by = change(under_way, self.under_way);
                count(|| metrics::gauge!("zmq_auth_calls_under_way").increment(by));
            }
            if hung != self.hung {
                let by = change(hung, self.hung);
                count(|| metrics::gauge!("zmq_auth_calls_hung").increment(by));
            }
            (self.under_way, self.hung) = (under_way, hung);
        }
    }
}

impl Drop for CallGauges {
    fn drop(&mut self) {
        self.set(0, 0);
    }
}

/// So many domains have a label of their own.
#[cfg(feature = "metrics")]
const MOST_DOMAINS: usize = 100;

#[cfg(feature = "metrics")]
fn domain_label(domain: &[u8]) -> std::sync::Arc<str> {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex, PoisonError};

    static KNOWN: Mutex<BTreeSet<Arc<str>>> = Mutex::new(BTreeSet::new());
    let domain = String::from_utf8_lossy(domain);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(label) = known.get(&*domain) {
        return label.clone();
    }
    if known.len() >= MOST_DOMAINS {
        return Arc::from("other");
    }
    let label: Arc<str> = Arc::from(domain);
    known.insert(label.clone());
    label
}

#[cfg(feature = "metrics")]
fn count(record: impl FnOnce()) {
    let _ = crate::foreign_code::contain(record);
}
