//! The metrics of the `metrics` facade. Without the feature `metrics`, every function here does nothing.
//!
//! If the recorder panics, only that update is lost.

use crate::zap::Status;

/// Counts a reply, by status, mechanism and domain.
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(super) fn answered(status: Status, mechanism: &[u8], domain: &[u8]) {
    #[cfg(feature = "metrics")]
    count(|| keys::count_answer(status, mechanism, domain));
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

/// Records that a store has fallen behind the disk or pushed credentials have gone stale (`true`), or no longer are.
#[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
pub(crate) fn store_behind(behind: bool) {
    #[cfg(feature = "metrics")]
    {
        static BEHIND: Total = Total::new();
        BEHIND.change(if behind { 1 } else { -1 }, |total| metrics::gauge!("zmq_auth_stores_behind").set(total));
    }
}

/// One handler's contribution to the gauges of callbacks, removed when dropped.
#[derive(Debug, Default)]
pub(crate) struct CallGauges {
    #[cfg(feature = "metrics")]
    under_way: usize,
    #[cfg(feature = "metrics")]
    hung: usize,
}

impl CallGauges {
    /// Sets the number of callbacks that have not returned, and how many of those are past their deadline.
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is counted"))]
    pub(crate) fn set(&mut self, under_way: usize, hung: usize) {
        #[cfg(feature = "metrics")]
        {
            static UNDER_WAY: Total = Total::new();
            static HUNG: Total = Total::new();
            let change = |now: usize, before: usize| now as i64 - before as i64;
            if under_way != self.under_way {
                let set = |total| metrics::gauge!("zmq_auth_calls_under_way").set(total);
                UNDER_WAY.change(change(under_way, self.under_way), set);
            }
            if hung != self.hung {
                HUNG.change(change(hung, self.hung), |total| metrics::gauge!("zmq_auth_calls_hung").set(total));
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

/// A gauge's value for the whole process. A recorder that is installed late, or panics once, is correct again after the next
/// change.
#[cfg(feature = "metrics")]
struct Total(std::sync::Mutex<i64>);

#[cfg(feature = "metrics")]
impl Total {
    const fn new() -> Self {
        Total(std::sync::Mutex::new(0))
    }

    /// The lock is held while the gauge is set, so that the latest value is the one that stays.
    fn change(&self, by: i64, set: impl FnOnce(f64)) {
        let mut total = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *total += by;
        count(|| set(*total as f64));
    }
}

#[cfg(feature = "metrics")]
fn count(record: impl FnOnce()) {
    let _ = crate::foreign_code::contain(record);
}

/// The keys of `zmq_auth_answers_total`, created once for each domain, so that a decision allocates nothing.
#[cfg(feature = "metrics")]
mod keys {
    use std::collections::HashMap;
    use std::sync::{PoisonError, RwLock};

    use metrics::{Key, Label, Level, Metadata};

    use crate::zap::Status;

    /// The number of domains with their own label; later ones count as `other`. Domains come from the server's sockets, so
    /// there are usually few.
    const MOST_DOMAINS: usize = 100;
    const STATUSES: [&str; 4] = ["200", "300", "400", "500"];
    const MECHANISMS: [&str; 5] = ["NULL", "PLAIN", "CURVE", "GSSAPI", "other"];

    type DomainKeys = [[Key; MECHANISMS.len()]; STATUSES.len()];

    type ByDomain = HashMap<Box<[u8]>, &'static DomainKeys>;

    static KNOWN: RwLock<Option<ByDomain>> = RwLock::new(None);

    pub(super) fn count_answer(status: Status, mechanism: &[u8], domain: &[u8]) {
        const METADATA: Metadata<'_> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
        let status = match status {
            Status::Success => 0,
            Status::Retry => 1,
            Status::Denied => 2,
            Status::Fault => 3,
        };
        let known = MECHANISMS.iter().position(|name| name.as_bytes() == mechanism);
        let key = &keys_of(domain)[status][known.unwrap_or(MECHANISMS.len() - 1)];
        metrics::with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(1));
    }

    fn keys_of(domain: &[u8]) -> &'static DomainKeys {
        if let Some(keys) =
            KNOWN.read().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|known| known.get(domain))
        {
            return keys;
        }
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_with(HashMap::new);
        let (name, label) = match known.len() < MOST_DOMAINS {
            true => (domain, String::from_utf8_lossy(domain).into_owned()),
            // No socket's domain is this long.
            false => (&[0; 256][..], "other".to_owned()),
        };
        if let Some(keys) = known.get(name) {
            return keys;
        }
        let key = |status, mechanism| {
            let labels = vec![
                Label::from_static_parts("status", status),
                Label::from_static_parts("mechanism", mechanism),
                Label::new("domain", label.clone()),
            ];
            Key::from_parts("zmq_auth_answers_total", labels)
        };
        // Leaked: there are at most `MOST_DOMAINS` + 1.
        let keys: &'static DomainKeys =
            Box::leak(Box::new(STATUSES.map(|status| MECHANISMS.map(|mechanism| key(status, mechanism)))));
        known.insert(name.into(), keys);
        keys
    }
}
