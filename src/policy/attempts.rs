//! Failed attempts of one address or one user: after so many in a window, a pause. Bounded memory, whoever comes.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{PeerAddress, Reason};
use crate::zap::{Subject, Who};

/// So many sets of [`WAYS`] entries: 65,536 in all, 2 MiB.
const SETS: usize = 16_384;
const WAYS: usize = 4;

/// The limit, and who is near it.
///
/// The table is a cache of a fixed size. A newcomer takes the place of the entry in its set with the oldest window, but
/// never that of one that is in its pause: a flood of other addresses doesn't end a pause.
pub(crate) struct Attempts {
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
    who: u64,
    failures: u32,
    since: Millis,
    paused_until: Millis,
}

/// Milliseconds since the start.
type Millis = u64;

impl Attempts {
    pub(crate) fn new(attempts: u32, window: Duration, pause: Duration) -> Self {
        Attempts {
            attempts,
            window,
            pause,
            hasher: RandomState::new(),
            start: Instant::now(),
            table: Mutex::new(vec![[Entry::default(); WAYS]; SETS].into_boxed_slice()),
        }
    }

    /// Refuses whom a pause holds.
    pub(crate) fn check(&self, subject: &Subject<'_>, now: Instant) -> Result<(), Reason> {
        let now = self.millis(now);
        let table = self.lock();
        let paused = |who: u64| set(&table, who).iter().any(|entry| entry.who == who && now < entry.paused_until);
        if self.parties(subject).into_iter().flatten().any(paused) { Err(Reason::TooManyFailures) } else { Ok(()) }
    }

    /// Takes note of an answer that was about what the client showed.
    pub(crate) fn note(&self, subject: &Subject<'_>, reason: Reason, now: Instant) {
        let [address, user] = self.parties(subject);
        match reason {
            Reason::WrongPassword | Reason::UnknownKey | Reason::CallbackDenied | Reason::NotConfigured => {
                let now = self.millis(now);
                let mut table = self.lock();
                for who in [address, user].into_iter().flatten() {
                    self.fail(&mut table, who, now);
                }
            }
            // Only the user starts anew: who has one account must not get unlimited tries at others.
            Reason::Password | Reason::CallbackAllowed => {
                if let Some(who) = user {
                    let mut table = self.lock();
                    set_mut(&mut table, who).iter_mut().filter(|entry| entry.who == who).for_each(|entry| {
                        *entry = Entry::default();
                    });
                }
            }
            _ => {}
        }
    }

    fn fail(&self, table: &mut [[Entry; WAYS]], who: u64, now: Millis) {
        let set = set_mut(table, who);
        let place = set.iter().position(|entry| entry.who == who).or_else(|| {
            let free = set.iter().enumerate().filter(|(_, entry)| entry.paused_until <= now);
            free.min_by_key(|(_, entry)| entry.since).map(|(place, _)| place)
        });
        // Four that collide are all in their pause: this one is not counted.
        let Some(entry) = place.and_then(|place| set.get_mut(place)) else { return };
        let window = self.window.as_millis() as Millis;
        if entry.who != who || now.saturating_sub(entry.since) > window {
            *entry = Entry { who, failures: 0, since: now, paused_until: 0 };
        }
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures >= self.attempts {
            entry.paused_until = now.saturating_add(self.pause.as_millis() as Millis);
        }
    }

    /// The address (an IPv6 /64 is one) and, for PLAIN, the user in its domain; as keyed hashes, so that nobody can
    /// choose whom to collide with.
    fn parties(&self, subject: &Subject<'_>) -> [Option<u64>; 2] {
        let address = match PeerAddress::parse(&subject.address) {
            PeerAddress::Ip(IpAddr::V4(ip)) => self.hasher.hash_one((0u8, ip)),
            // The subnet that one host can choose its addresses from.
            PeerAddress::Ip(IpAddr::V6(ip)) => self.hasher.hash_one((0u8, ip.to_bits() >> 64)),
            PeerAddress::Ipc(peer) => self.hasher.hash_one((1u8, peer.uid)),
            PeerAddress::Other => self.hasher.hash_one((2u8, &subject.address)),
        };
        let user = match &subject.who {
            Who::User(name) => Some(self.hasher.hash_one((3u8, &subject.domain, name))),
            Who::Nobody | Who::Key(_) | Who::Principal(_) => None,
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

fn set(table: &[[Entry; WAYS]], who: u64) -> &[Entry; WAYS] {
    // The table has `SETS` sets, always.
    &table[who as usize % SETS]
}

fn set_mut(table: &mut [[Entry; WAYS]], who: u64) -> &mut [Entry; WAYS] {
    &mut table[who as usize % SETS]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    const WINDOW: Duration = Duration::from_secs(60);
    const PAUSE: Duration = Duration::from_secs(300);

    fn subject(address: &str, user: &str) -> Subject<'static> {
        let own = |text: &str| Cow::Owned(text.as_bytes().to_vec());
        Subject { mechanism: own("PLAIN"), domain: own("d"), address: own(address), who: Who::User(own(user)) }
    }

    fn fail(attempts: &Attempts, subject: &Subject<'_>, times: u32, now: Instant) {
        for _ in 0..times {
            attempts.note(subject, Reason::WrongPassword, now);
        }
    }

    #[test]
    fn three_failures_are_a_pause_and_the_pause_ends() {
        let (attempts, now) = (Attempts::new(3, WINDOW, PAUSE), Instant::now());
        let mallory = subject("10.0.0.7", "alice");
        fail(&attempts, &mallory, 2, now);
        assert_eq!(attempts.check(&mallory, now), Ok(()));
        fail(&attempts, &mallory, 1, now);
        assert_eq!(attempts.check(&mallory, now), Err(Reason::TooManyFailures));
        assert_eq!(attempts.check(&mallory, now + PAUSE - Duration::from_millis(1)), Err(Reason::TooManyFailures));
        assert_eq!(attempts.check(&mallory, now + PAUSE), Ok(()));
    }

    #[test]
    fn the_address_and_the_user_count_apart() {
        let (attempts, now) = (Attempts::new(3, WINDOW, PAUSE), Instant::now());
        fail(&attempts, &subject("10.0.0.7", "alice"), 3, now);
        assert!(attempts.check(&subject("10.0.0.7", "bob"), now).is_err(), "the address tries another user");
        assert!(attempts.check(&subject("10.0.0.8", "alice"), now).is_err(), "another address tries the user");
        assert_eq!(attempts.check(&subject("10.0.0.8", "bob"), now), Ok(()));
    }

    #[test]
    fn failures_that_are_far_apart_do_not_add_up() {
        let (attempts, now) = (Attempts::new(3, WINDOW, PAUSE), Instant::now());
        let clumsy = subject("10.0.0.7", "alice");
        fail(&attempts, &clumsy, 2, now);
        fail(&attempts, &clumsy, 2, now + WINDOW + Duration::from_millis(1));
        assert_eq!(attempts.check(&clumsy, now + WINDOW), Ok(()));
    }

    #[test]
    fn a_failure_at_the_end_of_the_window_counts() {
        let (attempts, now) = (Attempts::new(3, WINDOW, PAUSE), Instant::now());
        let mallory = subject("10.0.0.7", "alice");
        fail(&attempts, &mallory, 2, now);
        fail(&attempts, &mallory, 1, now + WINDOW);
        assert_eq!(attempts.check(&mallory, now + WINDOW), Err(Reason::TooManyFailures));
    }

    #[test]
    fn addresses_that_share_a_set_are_counted_apart_from_the_first_moment_on() {
        let attempts = Attempts::new(2, WINDOW, PAUSE);
        let now = attempts.start;
        let nobody = |n: u32| Subject { who: Who::Nobody, ..subject(&std::net::Ipv4Addr::from(n).to_string(), "") };
        let set = |n: u32| attempts.parties(&nobody(n))[0].unwrap() as usize % SETS;
        let sharing: Vec<_> = (0..).filter(|n| set(*n) == set(0)).take(WAYS).collect();
        for n in &sharing {
            fail(&attempts, &nobody(*n), 1, now);
        }
        for n in &sharing {
            assert_eq!(attempts.check(&nobody(*n), now), Ok(()));
            fail(&attempts, &nobody(*n), 1, now);
            assert_eq!(attempts.check(&nobody(*n), now), Err(Reason::TooManyFailures));
        }
    }

    #[test]
    fn a_success_clears_the_user_and_not_the_address() {
        let (attempts, now) = (Attempts::new(3, WINDOW, PAUSE), Instant::now());
        fail(&attempts, &subject("10.0.0.7", "alice"), 2, now);
        attempts.note(&subject("10.0.0.7", "alice"), Reason::Password, now);
        fail(&attempts, &subject("10.0.0.8", "alice"), 2, now);
        assert_eq!(attempts.check(&subject("10.0.0.9", "alice"), now), Ok(()));
        fail(&attempts, &subject("10.0.0.7", "bob"), 1, now);
        assert!(attempts.check(&subject("10.0.0.7", "carol"), now).is_err());
    }

    #[test]
    fn a_subnet_of_ipv6_is_one_address() {
        let (attempts, now) = (Attempts::new(3, WINDOW, PAUSE), Instant::now());
        for n in 1..=3 {
            fail(&attempts, &subject(&format!("2001:db8::{n}"), &format!("user {n}")), 1, now);
        }
        assert!(attempts.check(&subject("2001:db8::4", "user 4"), now).is_err());
        assert_eq!(attempts.check(&subject("2001:db8:0:1::4", "user 4"), now), Ok(()));
    }

    #[test]
    fn a_million_addresses_neither_fill_memory_nor_end_a_pause() {
        let (attempts, now) = (Attempts::new(3, WINDOW, PAUSE), Instant::now());
        let mallory = subject("10.0.0.7", "alice");
        fail(&attempts, &mallory, 3, now);
        let mut flood = subject("", "");
        for n in 0..1_000_000_u32 {
            flood.address = Cow::Owned(std::net::Ipv4Addr::from(n).to_string().into_bytes());
            flood.who = Who::Nobody;
            attempts.note(&flood, Reason::WrongPassword, now);
        }
        assert!(attempts.check(&mallory, now).is_err());
        assert_eq!(attempts.lock().len(), SETS);
        assert!(size_of::<Entry>() <= 32);
    }
}
