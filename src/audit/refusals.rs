//! How often one origin's refusals are logged.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::policy::PeerAddress;

/// Refusals of one origin are logged in full at first, then once in a while, so that a client that hammers can't fill
/// the disk nor hide others.
pub(super) struct Refusals {
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
pub(super) enum Origin {
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
    pub(super) fn of(address: &[u8]) -> Self {
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
    pub(super) fn admit(&mut self, origin: Origin, now: Instant) -> Option<u64> {
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
