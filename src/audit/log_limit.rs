//! A rate limit on log lines, by origin.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::address::Origin;

/// LogLimiter of one origin are logged in full at first, then once in a while, so that a client that hammers can't fill
/// the disk nor hide others.
pub(super) struct LogLimiter {
    // `None` stands for all origins that come while the table is full.
    origins: HashMap<Option<Origin>, Bucket>,
    swept: Option<Instant>,
    // Of all origins together.
    all: Bucket,
}

impl Default for LogLimiter {
    fn default() -> Self {
        let all = Bucket::new(&ALL, Instant::now());
        LogLimiter { origins: HashMap::new(), swept: None, all }
    }
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

impl LogLimiter {
    /// How many lines of this origin were left out before this one; `None` to leave this one out too.
    pub(super) fn admit(&mut self, origin: Origin, now: Instant) -> Option<u64> {
        let origin = Some(origin);
        let full = self.origins.len() >= ORIGINS && !self.origins.contains_key(&origin) && !self.sweep(now);
        let origin = origin.filter(|_| !full);
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
    use crate::address::Ipv6Prefix;
    use std::net::IpAddr;

    fn origin_of(address: &[u8]) -> Origin {
        Origin::of(address, Ipv6Prefix::Site)
    }

    #[test]
    fn an_origin_that_hammers_is_logged_ten_times_then_now_and_then() {
        let (mut limiter, start) = (LogLimiter::default(), Instant::now());
        let origin = || origin_of(b"10.0.0.7");
        for _ in 0..EACH.burst {
            assert_eq!(limiter.admit(origin(), start), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(limiter.admit(origin(), start), None);
        }
        assert_eq!(limiter.admit(origin_of(b"10.0.0.8"), start), Some(0), "others are not hidden");
        assert_eq!(limiter.admit(origin(), start + EACH.refill), Some(1000));
        assert_eq!(limiter.admit(origin(), start + EACH.refill), None);
    }

    #[test]
    fn a_million_origins_take_bounded_memory() {
        let (mut limiter, start) = (LogLimiter::default(), Instant::now());
        for n in 0..1_000_000u32 {
            limiter.admit(Origin::Ip(IpAddr::V4(n.into())), start);
        }
        assert!(limiter.origins.len() <= ORIGINS + 1);
        let later = start + EACH.refill * (EACH.burst + 1);
        assert_eq!(limiter.admit(origin_of(b"10.0.0.7"), later), Some(0), "quiet ones are forgotten");
        assert!(limiter.origins.len() < 10);
    }

    #[test]
    fn many_origins_together_are_bounded_too() {
        let (mut limiter, start) = (LogLimiter::default(), Instant::now());
        let mut lines = 0;
        for second in 0..600 {
            for n in 0..2000_u32 {
                let origin = Origin::Ip(IpAddr::V4((n % 4000).into()));
                lines += u32::from(limiter.admit(origin, start + Duration::from_secs(second)).is_some());
            }
        }
        assert!(lines <= ALL.burst + 600 * 20, "{lines} lines in ten minutes");
    }
}
