//! The limit on wrong passwords: a pause after too many of one address or one user within a window. Only PLAIN is
//! limited, because only passwords can be guessed. Each domain counts separately.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::address::{Ipv6Prefix, Origin};
use crate::error::{Error, Result};
use crate::reason::Reason;
use crate::zap::{Client, Identity};

/// A network (an IPv6 /48, an IPv4 /24) is paused after this many times the failures of one address. So the owner of a
/// network can't fill the table with its addresses: the network is paused first.
const NETWORK_FACTOR: u32 = 16;

/// Sets of [`WAYS`] entries in each of the two tables: 32,768 entries, 1.3 MB.
const SETS: usize = 8_192;
const WAYS: usize = 4;

/// The number of failures within a window, and the pause that follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailureLimit {
    failures: u32,
    window: Duration,
    pause: Duration,
}

impl FailureLimit {
    pub(crate) fn new(failures: u32, window: Duration, pause: Duration) -> Result<Self> {
        if failures == 0 {
            return Err(Error::Limit { what: "failures", problem: "must be at least 1" });
        }
        let times = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);
        if !times.contains(&window) || !times.contains(&pause) {
            return Err(Error::Limit { what: "window and pause of failed attempts", problem: "must be 1 s to 1 day" });
        }
        Ok(FailureLimit { failures, window, pause })
    }
}

/// The limit, and the addresses and users that have recent failures.
///
/// An attempt is reserved when its request is checked, and becomes a failure or is released when the request is
/// finalized. Until then it counts as a failure: many attempts at once get no more tries than one after another. Only
/// time removes a failure: if a correct password did, a guesser could hide behind the user's own logins.
pub(super) struct FailureLimiter {
    failures: u32,
    window: Millis,
    pause: Millis,
    hasher: RandomState,
    // The zero of `Millis`.
    start: Instant,
    // Shared with the limiters that replaced this one.
    tables: Arc<Mutex<Tables>>,
}

/// Separate tables, so that a flood of one kind doesn't affect the other.
struct Tables {
    addresses: Table,
    users: Table,
}

/// A set-associative table of fixed size.
///
/// A newcomer takes the entry of its set that has no pause, no attempt in progress, and the oldest window. In a set
/// without such an entry, all newcomers share one extra entry: a full table gets stricter, never laxer.
struct Table(Box<[[Entry; WAYS + 1]]>);

/// The index of the entry that the newcomers of a full set share.
const SHARED: usize = WAYS;

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    // 0: unused.
    id: u64,
    since: Millis,
    paused_until: Millis,
    failures: u32,
    under_way: u32,
}

/// Milliseconds since the start.
type Millis = u64;

/// The entry that an attempt is counted in.
#[derive(Debug, Clone, Copy)]
struct Place {
    set: usize,
    way: usize,
}

/// A keyed hash of an address, network or user, so that nobody can choose collisions, and its limit of failures.
#[derive(Debug, Clone, Copy)]
struct Counted {
    id: u64,
    limit: u32,
}

/// Everything that one client counts against.
struct CountedClient {
    address: Counted,
    network: Option<Counted>,
    user: Counted,
}

/// An attempt in progress. Dropping it releases it.
pub(crate) struct Attempt {
    limiter: Arc<FailureLimiter>,
    address: Place,
    network: Option<Place>,
    user: Place,
}

impl FailureLimiter {
    pub(super) fn new(limit: FailureLimit) -> Self {
        let tables = Tables { addresses: Table::new(), users: Table::new() };
        Self::with(limit, RandomState::new(), Instant::now(), Arc::new(Mutex::new(tables)))
    }

    /// A limiter with another limit that takes over the failures, pauses and attempts in progress.
    #[cfg(feature = "policy")]
    pub(super) fn with_limit(&self, limit: FailureLimit) -> Self {
        Self::with(limit, self.hasher.clone(), self.start, self.tables.clone())
    }

    fn with(limit: FailureLimit, hasher: RandomState, start: Instant, tables: Arc<Mutex<Tables>>) -> Self {
        let millis = |time: Duration| Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX);
        let FailureLimit { failures, window, pause } = limit;
        FailureLimiter { failures, window: millis(window), pause: millis(pause), hasher, start, tables }
    }

    /// Reserves an attempt of a PLAIN client; `None` for any other client. Refuses a client whose address, network or user
    /// is paused, or has as many attempts in progress as failures left.
    pub(super) fn reserve(self: &Arc<Self>, client: &Client<'_>, now: Instant) -> Result<Option<Box<Attempt>>, Reason> {
        let Some(counted) = self.counted(client) else { return Ok(None) };
        let now = self.millis(now);
        let mut tables = self.lock();
        if !self.admits(&tables, &counted, now) {
            return Err(Reason::TooManyFailures);
        }
        let Tables { addresses, users } = &mut *tables;
        let network = counted.network.map(|network| addresses.place(network, now, self.window));
        let address = addresses.place(counted.address, now, self.window);
        let user = users.place(counted.user, now, self.window);
        Ok(Some(Box::new(Attempt { limiter: self.clone(), address, network, user })))
    }

    /// As [`reserve`](Self::reserve), without recording anything.
    pub(super) fn check(&self, client: &Client<'_>, now: Instant) -> Result<(), Reason> {
        match self.counted(client) {
            Some(counted) if !self.admits(&self.lock(), &counted, self.millis(now)) => Err(Reason::TooManyFailures),
            _ => Ok(()),
        }
    }

    fn admits(&self, tables: &Tables, counted: &CountedClient, now: Millis) -> bool {
        let Tables { addresses, users } = tables;
        counted.network.is_none_or(|network| addresses.admits(network, now, self.window))
            && addresses.admits(counted.address, now, self.window)
            && users.admits(counted.user, now, self.window)
    }

    /// The client's address (an IPv6 /64 is one), its network, and its user, each in this domain.
    fn counted(&self, client: &Client<'_>) -> Option<CountedClient> {
        let Identity::User(name) = &client.identity else { return None };
        let counted = |id: u64, limit| Counted { id: id.max(1), limit };
        let origin = Origin::of(&client.address, Ipv6Prefix::Subnet);
        let network = origin.network().map(|network| {
            let id = self.hasher.hash_one(("network", &client.domain, network));
            counted(id, self.failures.saturating_mul(NETWORK_FACTOR))
        });
        let address = counted(self.hasher.hash_one(("address", &client.domain, origin)), self.failures);
        let user = counted(self.hasher.hash_one(("user", &client.domain, name)), self.failures);
        Some(CountedClient { address, network, user })
    }

    fn millis(&self, now: Instant) -> Millis {
        // Never 0: `since: 0` marks an unused entry.
        now.saturating_duration_since(self.start).as_millis() as Millis + 1
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// Counts the attempt as a failure if it was one.
    pub(super) fn finish(self, reason: Reason, now: Instant) {
        if !is_failure(reason) {
            return;
        }
        let limiter = self.limiter.clone();
        let now = limiter.millis(now);
        let paused_until = now.saturating_add(limiter.pause);
        let mut tables = limiter.lock();
        let network_limit = limiter.failures.saturating_mul(NETWORK_FACTOR);
        tables.addresses.fail(self.address, limiter.failures, paused_until);
        if let Some(network) = self.network {
            tables.addresses.fail(network, network_limit, paused_until);
        }
        tables.users.fail(self.user, limiter.failures, paused_until);
        drop(tables);
        // Dropping `self` releases the attempt.
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut tables = self.limiter.lock();
        tables.addresses.release(self.address);
        if let Some(network) = self.network {
            tables.addresses.release(network);
        }
        tables.users.release(self.user);
    }
}

/// Whether the password may have been wrong. A callback that fails counts too: one that returns `Err` for a wrong password
/// must not give unlimited tries. An outcome that is independent of the password doesn't count.
fn is_failure(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::WrongPassword
            | Reason::UnreadableText
            | Reason::CallbackDenied
            | Reason::CallbackFault
            | Reason::CallbackPanicked
    )
}

impl Table {
    fn new() -> Self {
        Table(vec![[Entry::default(); WAYS + 1]; SETS].into_boxed_slice())
    }

    /// Whether one more attempt is within the limit.
    fn admits(&self, counted: Counted, now: Millis, window: Millis) -> bool {
        // The table always has `SETS` sets.
        let set = &self.0[counted.id as usize % SETS];
        let own = set[..WAYS].iter().find(|entry| entry.id == counted.id);
        let entry = match own {
            Some(entry) => entry,
            None if set[..WAYS].iter().any(|entry| entry.is_free(now)) => return counted.limit > 0,
            None => &set[SHARED],
        };
        let failures = if entry.is_over(now, window) { 0 } else { entry.failures };
        now >= entry.paused_until && failures.saturating_add(entry.under_way) < counted.limit
    }

    /// Records one more attempt in progress.
    fn place(&mut self, counted: Counted, now: Millis, window: Millis) -> Place {
        let number = counted.id as usize % SETS;
        let set = &mut self.0[number];
        let own = set[..WAYS].iter().position(|entry| entry.id == counted.id);
        let way = own.unwrap_or_else(|| {
            let free = set[..WAYS].iter().enumerate().filter(|(_, entry)| entry.is_free(now));
            free.min_by_key(|(_, entry)| entry.since).map_or(SHARED, |(way, _)| way)
        });
        let entry = &mut set[way];
        if own.is_none() && way != SHARED {
            *entry = Entry { id: counted.id, since: now, ..Entry::default() };
        }
        if entry.is_over(now, window) {
            (entry.failures, entry.since) = (0, now);
        }
        entry.under_way = entry.under_way.saturating_add(1);
        Place { set: number, way }
    }

    fn fail(&mut self, place: Place, limit: u32, paused_until: Millis) {
        let entry = &mut self.0[place.set][place.way];
        entry.failures = entry.failures.saturating_add(1);
        if entry.failures >= limit {
            entry.paused_until = entry.paused_until.max(paused_until);
        }
    }

    fn release(&mut self, place: Place) {
        let entry = &mut self.0[place.set][place.way];
        entry.under_way = entry.under_way.saturating_sub(1);
    }
}

impl Entry {
    /// Whether a newcomer may take this entry.
    fn is_free(&self, now: Millis) -> bool {
        self.under_way == 0 && self.paused_until <= now
    }

    /// Whether its window is over, so that its failures no longer count.
    fn is_over(&self, now: Millis, window: Millis) -> bool {
        now.saturating_sub(self.since) > window
    }
}

#[cfg(test)]
mod tests;
