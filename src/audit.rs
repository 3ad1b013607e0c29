//! What was decided, counted and logged. Only what a [`Subject`] holds is written: there is no password in it.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::{PeerAddress, Reason};
use crate::zap::{Reply, Status, Subject, Who};

/// The target of every log record of this crate.
pub(crate) const TARGET: &str = "zmq_auth";
/// Text from the wire is cut to this many bytes before it is logged.
const CUT: usize = 256;

/// How many requests were answered how. Every number only grows.
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
    /// Answered 300, for whatever reason.
    pub retried: u64,
    /// Answered 500.
    pub faults: u64,
    /// Not answered: not enough frames to answer with.
    pub dropped: u64,
    /// Answered 300 because too many callbacks were under way.
    pub calls_refused: u64,
    /// Answered 300 because the callback took too long.
    pub calls_timed_out: u64,
    /// Threads that were left to a callback that did not return when the handler stopped.
    pub calls_abandoned: u64,
}

/// The counters and the memory of what was logged.
#[derive(Default)]
pub(crate) struct Audit {
    allowed: AtomicU64,
    denied: AtomicU64,
    retried: AtomicU64,
    faults: AtomicU64,
    dropped: AtomicU64,
    calls_refused: AtomicU64,
    calls_timed_out: AtomicU64,
    calls_abandoned: AtomicU64,
    refusals: Mutex<Refusals>,
}

impl Audit {
    /// Counts and logs one answer.
    pub(crate) fn record(&self, subject: &Subject<'_>, reason: Reason, reply: &Reply) {
        match reply.status() {
            Status::Success => {
                add(&self.allowed, 1);
                if log::log_enabled!(target: TARGET, log::Level::Info) {
                    log::info!(target: TARGET, "allowed {subject}, user id {}", Cut(reply.user_id()));
                }
                return;
            }
            Status::Denied => add(&self.denied, 1),
            Status::Retry => add(&self.retried, 1),
            Status::Fault => add(&self.faults, 1),
        }
        match reason {
            Reason::TooManyCalls => add(&self.calls_refused, 1),
            Reason::TimedOut => add(&self.calls_timed_out, 1),
            _ => {}
        }
        if log::log_enabled!(target: TARGET, log::Level::Warn) {
            self.warn(subject, reply);
        }
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
        add(&self.dropped, 1);
        log::warn!(target: TARGET, "dropped a ZAP request without envelope or request id");
    }

    /// Counts threads that were left behind.
    pub(crate) fn abandoned(&self, threads: usize) {
        if threads == 0 {
            return;
        }
        add(&self.calls_abandoned, threads as u64);
        log::error!(target: TARGET, "stopped with {threads} callbacks that did not return: their threads are left behind");
    }

    pub(crate) fn counters(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            allowed: read(&self.allowed),
            denied: read(&self.denied),
            retried: read(&self.retried),
            faults: read(&self.faults),
            dropped: read(&self.dropped),
            calls_refused: read(&self.calls_refused),
            calls_timed_out: read(&self.calls_timed_out),
            calls_abandoned: read(&self.calls_abandoned),
        }
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mechanism, domain) = (Cut(&self.mechanism), Cut(&self.domain));
        write!(f, "{mechanism} in domain \"{domain}\" from {}", Cut(&self.address))?;
        match &self.who {
            Who::Nobody => Ok(()),
            Who::User(name) => write!(f, ", user \"{}\"", Cut(name)),
            Who::Key(key) => write!(f, ", key {key}"),
            Who::Principal(name) => write!(f, ", principal \"{}\"", Cut(name)),
        }
    }
}

/// Bytes from the wire as they may stand in a log: escaped, so that no line can be forged, and cut.
pub(crate) struct Cut<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(CUT) {
            Some((head, tail)) if !tail.is_empty() => write!(f, "{}…", head.escape_ascii()),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

/// Refusals of one origin are logged in full at first, then once in a while, so that a client that hammers can't fill
/// the disk nor hide others.
struct Refusals {
    origins: HashMap<Origin, Bucket>,
    swept: Option<Instant>,
    // Of all origins together.
    all: Bucket,
}

impl Default for Refusals {
    fn default() -> Self {
        let all = Bucket::new(&ALL, Instant::now());
        Refusals { origins: HashMap::new(), swept: None, all }
    }
}

/// A client as far as its log lines are counted together: an IPv4 address, an IPv6 /48 (what a site is given), or an
/// address as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Origin {
    Ip(IpAddr),
    Text(Box<[u8]>),
    /// All that come while the table is full.
    Others,
}

struct Bucket {
    rate: &'static Rate,
    left: u32,
    filled: Instant,
    suppressed: u64,
}

/// So many lines at once, and one more after each refill.
struct Rate {
    burst: u32,
    refill: Duration,
}

const EACH: Rate = Rate { burst: 10, refill: Duration::from_secs(10) };
/// Whoever owns a million addresses writes 20 lines a second.
const ALL: Rate = Rate { burst: 2000, refill: Duration::from_millis(50) };
/// So many origins are told apart.
const ORIGINS: usize = 4096;

impl Origin {
    fn of(address: &[u8]) -> Self {
        match PeerAddress::parse(address) {
            PeerAddress::Ip(IpAddr::V6(ip)) => {
                let [a, b, c, ..] = ip.segments();
                Origin::Ip(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into())
            }
            PeerAddress::Ip(ip) => Origin::Ip(ip),
            PeerAddress::Ipc(peer) => Origin::Text(format!("ipc:{}", peer.uid).into_bytes().into()),
            PeerAddress::Other => Origin::Text(address.get(..64).unwrap_or(address).into()),
        }
    }
}

impl Refusals {
    /// How many lines of this origin were left out before this one; `None` to leave this one out too.
    fn admit(&mut self, origin: Origin, now: Instant) -> Option<u64> {
        let full = self.origins.len() >= ORIGINS && !self.origins.contains_key(&origin) && !self.sweep(now);
        let origin = if full { Origin::Others } else { origin };
        let bucket = self.origins.entry(origin).or_insert_with(|| Bucket::new(&EACH, now));
        let suppressed = bucket.take(now)?;
        if self.all.take(now).is_none() {
            bucket.suppressed = suppressed + 1;
            return None;
        }
        Some(suppressed)
    }

    /// Forgets the origins that were quiet, at most once a second; tells whether there is room now.
    fn sweep(&mut self, now: Instant) -> bool {
        if self.swept.is_some_and(|swept| now.duration_since(swept) < Duration::from_secs(1)) {
            return false;
        }
        self.swept = Some(now);
        self.origins.retain(|_, bucket| now.duration_since(bucket.filled) < EACH.refill * EACH.burst);
        self.origins.len() < ORIGINS
    }
}

impl Bucket {
    fn new(rate: &'static Rate, now: Instant) -> Self {
        Bucket { rate, left: rate.burst, filled: now, suppressed: 0 }
    }

    fn take(&mut self, now: Instant) -> Option<u64> {
        let periods = now.duration_since(self.filled).as_millis() / self.rate.refill.as_millis();
        if periods > 0 {
            self.left = self.left.saturating_add(u32::try_from(periods).unwrap_or(u32::MAX)).min(self.rate.burst);
            self.filled = now;
        }
        if self.left == 0 {
            self.suppressed += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_not_be_forged() {
        let text = Cut(b"alice\"\n[INFO] allowed \x1b[2J\xff").to_string();
        assert_eq!(text, "alice\\\"\\n[INFO] allowed \\x1b[2J\\xff");
    }

    #[test]
    fn text_is_cut_at_256_bytes() {
        assert_eq!(Cut(&[b'a'; 256]).to_string(), "a".repeat(256));
        assert_eq!(Cut(&[b'a'; 100_000]).to_string(), format!("{}…", "a".repeat(256)));
    }

    #[test]
    fn an_origin_that_hammers_is_logged_ten_times_then_now_and_then() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let origin = || Origin::of(b"10.0.0.7");
        for _ in 0..EACH.burst {
            assert_eq!(refusals.admit(origin(), start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(refusals.admit(origin(), start), None);
        }
        assert_eq!(refusals.admit(Origin::of(b"10.0.0.8"), start), Some(0), "others are not hidden");
        assert_eq!(refusals.admit(origin(), start + EACH.refill), Some(1000));
        assert_eq!(refusals.admit(origin(), start + EACH.refill), None);
    }

    #[test]
    fn a_million_origins_take_bounded_memory() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        for n in 0..1_000_000u32 {
            refusals.admit(Origin::Ip(IpAddr::V4(n.into())), start);
        }
        assert!(refusals.origins.len() <= ORIGINS + 1);
        let later = start + EACH.refill * (EACH.burst + 1);
        assert_eq!(refusals.admit(Origin::of(b"10.0.0.7"), later), Some(0), "quiet ones are forgotten");
        assert!(refusals.origins.len() < 10);
    }

    #[test]
    fn many_origins_together_are_bounded_too() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let mut lines = 0;
        for second in 0..600 {
            for n in 0..2000_u32 {
                let origin = Origin::Ip(IpAddr::V4((n % 4000).into()));
                lines += u32::from(refusals.admit(origin, start + Duration::from_secs(second)).is_some());
            }
        }
        assert!(lines <= ALL.burst + 600 * 20, "{lines} lines in ten minutes");
    }

    #[test]
    fn a_client_that_owns_a_subnet_is_one_origin() {
        assert_eq!(Origin::of(b"2001:db8::1"), Origin::of(b"2001:db8::ffff:1"));
        assert_eq!(Origin::of(b"2001:db8::1"), Origin::of(b"2001:db8:0:1::1"));
        assert_ne!(Origin::of(b"2001:db8::1"), Origin::of(b"2001:db8:1::1"));
    }
}
