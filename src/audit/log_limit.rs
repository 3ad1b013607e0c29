//! A rate limit on log lines, by origin.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::address::Origin;

/// Logs the first lines about an origin, then one from time to time, and limits the lines about all origins together: one
/// client that keeps trying can't hide others, nor fill the disk. Omitted lines are counted, and reported with a later line.
pub(super) struct LogLimiter {
    // `None` stands for all new origins while the table is full.
    origins: HashMap<Option<Origin>, Bucket>,
    swept: Option<Instant>,
    // Shared by all origins.
    all: Bucket,
    // The number of unreported lines of forgotten origins.
    elsewhere: u64,
}

/// The number of lines omitted since the last one that was logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// For this origin.
    pub(super) here: u64,
    /// For other origins.
    pub(super) elsewhere: u64,
}

impl Default for LogLimiter {
    fn default() -> Self {
        let all = Bucket::new(&ALL, Instant::now());
        LogLimiter { origins: HashMap::new(), swept: None, all, elsewhere: 0 }
    }
}

struct Bucket {
    rate: &'static Rate,
    left: u32,
    filled: Instant,
    left_out: u64,
}

/// A token bucket's rate: `burst` lines at once, then one after each refill.
struct Rate {
    burst: u32,
    refill: Duration,
}

const EACH: Rate = Rate { burst: 10, refill: Duration::from_secs(10) };
/// The owner of a million addresses can cause 20 lines a second.
const ALL: Rate = Rate { burst: 2000, refill: Duration::from_millis(50) };
/// The number of origins that are tracked separately.
const ORIGINS: usize = 4096;

impl LogLimiter {
    /// The lines omitted before this one; `None` to omit this one too.
    pub(super) fn admit(&mut self, origin: Origin, now: Instant) -> Option<LeftOut> {
        let origin = Some(origin);
        let full = self.origins.len() >= ORIGINS && !self.origins.contains_key(&origin) && !self.sweep(now);
        let origin = origin.filter(|_| !full);
        let is_shared = origin.is_none();
        let bucket = self.origins.entry(origin).or_insert_with(|| Bucket::new(&EACH, now));
        if !bucket.take(now) || !self.all.take(now) {
            bucket.left_out += 1;
            return None;
        }
        let (left_out, elsewhere) = (std::mem::take(&mut bucket.left_out), std::mem::take(&mut self.elsewhere));
        Some(match is_shared {
            true => LeftOut { here: 0, elsewhere: elsewhere + left_out },
            false => LeftOut { here: left_out, elsewhere },
        })
    }

    /// Takes the count of all lines omitted and not yet reported.
    pub(super) fn take_left_out(&mut self) -> u64 {
        let of_origins: u64 = self.origins.values_mut().map(|bucket| std::mem::take(&mut bucket.left_out)).sum();
        of_origins + std::mem::take(&mut self.elsewhere)
    }

    /// Forgets origins without recent lines, at most once a second; returns whether there is room now.
    fn sweep(&mut self, now: Instant) -> bool {
        if self.swept.is_some_and(|swept| now.duration_since(swept) < Duration::from_secs(1)) {
            return false;
        }
        self.swept = Some(now);
        self.origins.retain(|_, bucket| {
            let stays = now.duration_since(bucket.filled) < EACH.refill * EACH.burst;
            self.elsewhere += if stays { 0 } else { bucket.left_out };
            stays
        });
        self.origins.len() < ORIGINS
    }
}

impl Bucket {
    fn new(rate: &'static Rate, now: Instant) -> Self {
        Bucket { rate, left: rate.burst, filled: now, left_out: 0 }
    }

    /// Whether a line is within the rate.
    fn take(&mut self, now: Instant) -> bool {
        let periods = now.duration_since(self.filled).as_millis() / self.rate.refill.as_millis();
        if periods > 0 {
            self.left = self.left.saturating_add(u32::try_from(periods).unwrap_or(u32::MAX)).min(self.rate.burst);
            self.filled = now;
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Ipv6Prefix;
    use std::net::IpAddr;

    const NOTHING_LEFT_OUT: Option<LeftOut> = Some(LeftOut { here: 0, elsewhere: 0 });

    fn origin_of(address: &[u8]) -> Origin {
        Origin::of(&address.into(), Ipv6Prefix::Site)
    }

    #[test]
    fn an_origin_that_hammers_is_logged_ten_times_then_now_and_then() {
        let (mut limiter, start) = (LogLimiter::default(), Instant::now());
        let origin = || origin_of(b"10.0.0.7");
        for _ in 0..EACH.burst {
            assert_eq!(limiter.admit(origin(), start), NOTHING_LEFT_OUT);
        }
        for _ in 0..1000 {
            assert_eq!(limiter.admit(origin(), start), None);
        }
        assert_eq!(limiter.admit(origin_of(b"10.0.0.8"), start), NOTHING_LEFT_OUT, "others are not hidden");
        assert_eq!(limiter.admit(origin(), start + EACH.refill), Some(LeftOut { here: 1000, elsewhere: 0 }));
        assert_eq!(limiter.admit(origin(), start + EACH.refill), None);
    }

    #[test]
    fn a_million_origins_take_bounded_memory() {
        let (mut limiter, start) = (LogLimiter::default(), Instant::now());
        let mut lines = 0;
        for n in 0..1_000_000u32 {
            let admitted = limiter.admit(Origin::Ip(IpAddr::V4(n.into())), start);
            lines += admitted.map_or(0, |left_out| 1 + left_out.here + left_out.elsewhere);
        }
        assert!(limiter.origins.len() <= ORIGINS + 1);
        let later = start + EACH.refill * (EACH.burst + 1);
        let left_out = limiter.admit(origin_of(b"192.168.0.1"), later).expect("quiet ones are forgotten");
        assert!(limiter.origins.len() < 10);
        // Nothing is lost, and nothing is counted twice.
        assert_eq!(left_out.here + left_out.elsewhere + limiter.take_left_out(), 1_000_000 - lines);
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

    #[test]
    fn suppressed_lines_are_reported_once() {
        let (mut limiter, start) = (LogLimiter::default(), Instant::now());
        for n in 0..ORIGINS as u32 {
            limiter.admit(Origin::Ip(IpAddr::V4(n.into())), start);
        }
        // One that keeps trying while the table is full of others.
        for _ in 0..50 {
            limiter.admit(origin_of(b"192.168.0.1"), start);
        }
        assert_eq!(limiter.take_left_out(), ORIGINS as u64 + 50 - u64::from(ALL.burst));
        assert_eq!(limiter.take_left_out(), 0);
        let later = start + EACH.refill;
        for _ in 0..50 {
            limiter.admit(origin_of(b"192.168.0.1"), later);
        }
        let left_out = limiter.admit(origin_of(b"192.168.0.1"), later + EACH.refill).unwrap();
        assert!(left_out.here == 0 && left_out.elsewhere >= 40, "{left_out:?}");
    }
}
