//! The limit on failures: after so many of one address or one user within a window, a pause. Its memory is bounded.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::address::{Ipv6Prefix, Origin};
use crate::reason::Reason;
use crate::zap::{Client, Identity};

/// Sets of [`WAYS`] entries: 65,536 in all, 2 MiB.
const SETS: usize = 16_384;
const WAYS: usize = 4;

/// The limit, and the addresses and users that are near it.
///
/// The table is a cache of a fixed size. A newcomer takes the place of the entry in its set with the oldest window, but
/// never that of one that is in its pause: a flood of other addresses doesn't end a pause.
pub(crate) struct FailureLimiter {
    attempts: u32,
    window: Duration,
    pause: Duration,
    hasher: RandomState,
    // Times count from here.
    start: Instant,
    table: Mutex<Box<[[Entry; WAYS]]>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    // 0 is nobody.
    id: u64,
    failures: u32,
    since: Millis,
    paused_until: Millis,
}

/// Milliseconds since the start.
type Millis = u64;

impl FailureLimiter {
    pub(crate) fn new(attempts: u32, window: Duration, pause: Duration) -> Self {
        FailureLimiter {
            attempts,
            window,
            pause,
            hasher: RandomState::new(),
            start: Instant::now(),
            table: Mutex::new(vec![[Entry::default(); WAYS]; SETS].into_boxed_slice()),
        }
    }

    /// Refuses a client whose address or user is paused.
    pub(crate) fn check(&self, client: &Client<'_>, now: Instant) -> Result<(), Reason> {
        let now = self.millis(now);
        let table = self.lock();
        let paused = |id: u64| set(&table, id).iter().any(|entry| entry.id == id && now < entry.paused_until);
        if self.ids(client).into_iter().flatten().any(paused) { Err(Reason::TooManyFailures) } else { Ok(()) }
    }

    /// Records a decision about credentials.
    pub(crate) fn record(&self, client: &Client<'_>, reason: Reason, now: Instant) {
        let [address, user] = self.ids(client);
        match reason {
            Reason::WrongPassword | Reason::UnknownKey | Reason::CallbackDenied | Reason::NotConfigured => {
                let now = self.millis(now);
                let mut table = self.lock();
                for id in [address, user].into_iter().flatten() {
                    self.fail(&mut table, id, now);
                }
            }
            // Only the user starts anew: whoever has one account must not get unlimited tries at others.
            Reason::Password(_) | Reason::CallbackAllowed => {
                if let Some(id) = user {
                    let mut table = self.lock();
                    set_mut(&mut table, id).iter_mut().filter(|entry| entry.id == id).for_each(|entry| {
                        *entry = Entry::default();
                    });
                }
            }
            _ => {}
        }
    }

    fn fail(&self, table: &mut [[Entry; WAYS]], id: u64, now: Millis) {
        let set = set_mut(table, id);
        let place = set.iter().position(|entry| entry.id == id).or_else(|| {
            let free = set.iter().enumerate().filter(|(_, entry)| entry.paused_until <= now);
            free.min_by_key(|(_, entry)| entry.since).map(|(place, _)| place)
        });
        // Four that collide are all in their pause: this one is not counted.
        let Some(entry) = place.and_then(|place| set.get_mut(place)) else { return };
        let window = self.window.as_millis() as Millis;
        if entry.id != id || now.saturating_sub(entry.since) > window {
            *entry = Entry { id, failures: 0, since: now, paused_until: 0 };
        }
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures >= self.attempts {
            entry.paused_until = now.saturating_add(self.pause.as_millis() as Millis);
        }
    }

    /// The address (an IPv6 /64 is one) and, for PLAIN, the user in its domain; as keyed hashes, so that nobody can
    /// choose whom to collide with.
    fn ids(&self, client: &Client<'_>) -> [Option<u64>; 2] {
        let address = self.hasher.hash_one(Origin::of(&client.address, Ipv6Prefix::Subnet));
        let user = match &client.identity {
            Identity::User(name) => Some(self.hasher.hash_one((&client.domain, name))),
            Identity::Nobody | Identity::Key(_) | Identity::Principal(_) => None,
        };
        [Some(address.max(1)), user.map(|user| user.max(1))]
    }

    fn millis(&self, now: Instant) -> Millis {
        // From 1 on: `since: 0` is an entry that nobody has.
        now.saturating_duration_since(self.start).as_millis() as Millis + 1
    }

    fn lock(&self) -> MutexGuard<'_, Box<[[Entry; WAYS]]>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set(table: &[[Entry; WAYS]], id: u64) -> &[Entry; WAYS] {
    // The table has `SETS` sets, always.
    &table[id as usize % SETS]
}

fn set_mut(table: &mut [[Entry; WAYS]], id: u64) -> &mut [Entry; WAYS] {
    &mut table[id as usize % SETS]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    const WINDOW: Duration = Duration::from_secs(60);
    const PAUSE: Duration = Duration::from_secs(300);

    fn client(address: &str, user: &str) -> Client<'static> {
        let own = |text: &str| Cow::Owned(text.as_bytes().to_vec());
        Client { mechanism: own("PLAIN"), domain: own("d"), address: own(address), identity: Identity::User(own(user)) }
    }

    fn fail(limiter: &FailureLimiter, client: &Client<'_>, times: u32, now: Instant) {
        for _ in 0..times {
            limiter.record(client, Reason::WrongPassword, now);
        }
    }

    #[test]
    fn three_failures_are_a_pause_and_the_pause_ends() {
        let (limiter, now) = (FailureLimiter::new(3, WINDOW, PAUSE), Instant::now());
        let mallory = client("10.0.0.7", "alice");
        fail(&limiter, &mallory, 2, now);
        assert_eq!(limiter.check(&mallory, now), Ok(()));
        fail(&limiter, &mallory, 1, now);
        assert_eq!(limiter.check(&mallory, now), Err(Reason::TooManyFailures));
        assert_eq!(limiter.check(&mallory, now + PAUSE - Duration::from_millis(1)), Err(Reason::TooManyFailures));
        assert_eq!(limiter.check(&mallory, now + PAUSE), Ok(()));
    }

    #[test]
    fn the_address_and_the_user_count_apart() {
        let (limiter, now) = (FailureLimiter::new(3, WINDOW, PAUSE), Instant::now());
        fail(&limiter, &client("10.0.0.7", "alice"), 3, now);
        assert!(limiter.check(&client("10.0.0.7", "bob"), now).is_err(), "the address tries another user");
        assert!(limiter.check(&client("10.0.0.8", "alice"), now).is_err(), "another address tries the user");
        assert_eq!(limiter.check(&client("10.0.0.8", "bob"), now), Ok(()));
    }

    #[test]
    fn failures_that_are_far_apart_do_not_add_up() {
        let (limiter, now) = (FailureLimiter::new(3, WINDOW, PAUSE), Instant::now());
        let clumsy = client("10.0.0.7", "alice");
        fail(&limiter, &clumsy, 2, now);
        fail(&limiter, &clumsy, 2, now + WINDOW + Duration::from_millis(1));
        assert_eq!(limiter.check(&clumsy, now + WINDOW), Ok(()));
    }

    #[test]
    fn a_failure_at_the_end_of_the_window_counts() {
        let (limiter, now) = (FailureLimiter::new(3, WINDOW, PAUSE), Instant::now());
        let mallory = client("10.0.0.7", "alice");
        fail(&limiter, &mallory, 2, now);
        fail(&limiter, &mallory, 1, now + WINDOW);
        assert_eq!(limiter.check(&mallory, now + WINDOW), Err(Reason::TooManyFailures));
    }

    #[test]
    fn addresses_that_share_a_set_are_counted_apart_from_the_first_moment_on() {
        let limiter = FailureLimiter::new(2, WINDOW, PAUSE);
        let now = limiter.start;
        let nobody =
            |n: u32| Client { identity: Identity::Nobody, ..client(&std::net::Ipv4Addr::from(n).to_string(), "") };
        let set = |n: u32| limiter.ids(&nobody(n))[0].unwrap() as usize % SETS;
        let sharing: Vec<_> = (0..).filter(|n| set(*n) == set(0)).take(WAYS).collect();
        for n in &sharing {
            fail(&limiter, &nobody(*n), 1, now);
        }
        for n in &sharing {
            assert_eq!(limiter.check(&nobody(*n), now), Ok(()));
            fail(&limiter, &nobody(*n), 1, now);
            assert_eq!(limiter.check(&nobody(*n), now), Err(Reason::TooManyFailures));
        }
    }

    #[test]
    fn a_success_clears_the_user_and_not_the_address() {
        let (limiter, now) = (FailureLimiter::new(3, WINDOW, PAUSE), Instant::now());
        fail(&limiter, &client("10.0.0.7", "alice"), 2, now);
        limiter.record(&client("10.0.0.7", "alice"), Reason::Password(None), now);
        fail(&limiter, &client("10.0.0.8", "alice"), 2, now);
        assert_eq!(limiter.check(&client("10.0.0.9", "alice"), now), Ok(()));
        fail(&limiter, &client("10.0.0.7", "bob"), 1, now);
        assert!(limiter.check(&client("10.0.0.7", "carol"), now).is_err());
    }

    #[test]
    fn a_subnet_of_ipv6_is_one_address() {
        let (limiter, now) = (FailureLimiter::new(3, WINDOW, PAUSE), Instant::now());
        for n in 1..=3 {
            fail(&limiter, &client(&format!("2001:db8::{n}"), &format!("user {n}")), 1, now);
        }
        assert!(limiter.check(&client("2001:db8::4", "user 4"), now).is_err());
        assert_eq!(limiter.check(&client("2001:db8:0:1::4", "user 4"), now), Ok(()));
    }

    #[test]
    fn a_million_addresses_neither_fill_memory_nor_end_a_pause() {
        let (limiter, now) = (FailureLimiter::new(3, WINDOW, PAUSE), Instant::now());
        let mallory = client("10.0.0.7", "alice");
        fail(&limiter, &mallory, 3, now);
        let mut flood = client("", "");
        for n in 0..1_000_000_u32 {
            flood.address = Cow::Owned(std::net::Ipv4Addr::from(n).to_string().into_bytes());
            flood.identity = Identity::Nobody;
            limiter.record(&flood, Reason::WrongPassword, now);
        }
        assert!(limiter.check(&mallory, now).is_err());
        assert_eq!(limiter.lock().len(), SETS);
        assert!(size_of::<Entry>() <= 32);
    }
}
