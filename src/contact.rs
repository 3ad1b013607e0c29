//! Contact with the source of pushed credentials: when it was last proven, and how long they may be used without it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::audit::metrics;
use crate::error::{Error, Result};
use crate::escape::Escaped;
use crate::ffi;
use crate::reason::{Reason, Recheck};
use crate::reload::{Observers, ReloadEvent, Standing, lock};

/// A moment on a clock that can't be set and that keeps running while the machine is suspended (Linux's
/// `CLOCK_BOOTTIME`). A program states with it as of when its [`PushedCredentials`](crate::PushedCredentials) are
/// complete.
///
/// ```
/// use zmq_auth::Moment;
///
/// let asked = Moment::now();
/// assert!(asked <= Moment::now());
/// assert!(asked.elapsed().as_secs() < 60);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Nanos);

/// Nanoseconds since the machine was started: enough for 584 years.
type Nanos = u64;

const NEVER: Nanos = 0;

impl Moment {
    /// This moment.
    ///
    /// ```
    /// let asked = zmq_auth::Moment::now();
    /// # let _ = asked;
    /// ```
    pub fn now() -> Self {
        Moment(ffi::time_since_boot().unwrap_or(NEVER))
    }

    /// The time since this moment, including suspended time.
    ///
    /// ```
    /// let asked = zmq_auth::Moment::now();
    /// assert!(asked.elapsed() <= asked.elapsed());
    /// ```
    pub fn elapsed(self) -> Duration {
        // Without a clock, nothing is recent.
        ffi::time_since_boot().map_or(Duration::MAX, |now| Duration::from_nanos(now.saturating_sub(self.0)))
    }
}

/// What happens to connected clients when their credentials are stale.
///
/// ```
/// use zmq_auth::{OnStale, PushedCredentials};
/// use std::time::Duration;
///
/// let credentials = PushedCredentials::new("clients of the shop");
/// credentials.limit_age(Duration::from_secs(60), OnStale::KeepConnected)?;
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnStale {
    /// [`is_still_allowed`](crate::Authenticator::is_still_allowed) is `false` for them.
    #[default]
    Refuse,
    /// They are checked against the credentials pushed last. New handshakes are still told to retry.
    KeepConnected,
}

/// The last proof of contact. Checking it reads a clock once and takes no lock.
pub(crate) struct Contact {
    name: Box<str>,
    /// When it was last proven; 0 before the first time.
    last: AtomicU64,
    max_age: AtomicU64,
    /// The smallest `max_age` allowed: see `is_proven_each`.
    shortest_age: AtomicU64,
    keeps_connected: AtomicBool,
    /// The state last published to listeners and shown by the gauge.
    told_stale: AtomicBool,
    observers: Observers,
    watcher: Mutex<Option<Watcher>>,
}

/// The thread that publishes when contact is lost or regained. Decisions don't depend on it.
struct Watcher {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
}

pub(crate) const MAX_AGE: Duration = Duration::from_secs(5 * 60);
/// The thread's longest sleep. It sleeps on a clock that stops while the machine is suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(10);

impl Contact {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        metrics::store_behind(true);
        Arc::new(Contact {
            name: name.into(),
            last: AtomicU64::new(NEVER),
            max_age: AtomicU64::new(nanos(MAX_AGE)),
            shortest_age: AtomicU64::new(0),
            keeps_connected: AtomicBool::new(false),
            told_stale: AtomicBool::new(true),
            observers: Observers::default(),
            watcher: Mutex::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// # Errors
    /// [`Error::Limit`] for an age outside its range.
    pub(crate) fn limit_age(self: &Arc<Self>, max_age: Duration, on_stale: OnStale) -> Result<()> {
        check_age(max_age, self.shortest_age.load(Ordering::SeqCst))?;
        self.max_age.store(nanos(max_age), Ordering::SeqCst);
        self.keeps_connected.store(on_stale == OnStale::KeepConnected, Ordering::SeqCst);
        if self.age().is_some() {
            self.wake();
        }
        Ok(())
    }

    /// Sets the interval between proofs of contact. A `max_age` below three intervals would expire in normal operation.
    #[cfg(feature = "nats")]
    pub(crate) fn is_proven_each(&self, interval: Duration) {
        self.shortest_age.store(three_times(interval), Ordering::SeqCst);
    }

    /// # Errors
    /// As [`limit_age`](Self::limit_age), if contact were proven at this interval.
    #[cfg(all(feature = "nats", feature = "policy"))]
    pub(crate) fn check_age(max_age: Duration, interval: Duration) -> Result<()> {
        check_age(max_age, three_times(interval))
    }

    /// Makes the credentials stale at once: their follower has failed, perhaps in the middle of a change.
    #[cfg(feature = "nats")]
    pub(crate) fn lost(self: &Arc<Self>) {
        self.last.store(NEVER, Ordering::SeqCst);
        self.wake();
    }

    /// Records that the tables are complete as of this moment. One before the last has no effect.
    pub(crate) fn proven(self: &Arc<Self>, asked: Moment) {
        self.last.fetch_max(asked.0, Ordering::SeqCst);
        // If `tell` publishes the opposite right now, it checks again afterwards.
        if self.told_stale.load(Ordering::SeqCst) && !self.is_stale() {
            self.wake();
        }
    }

    pub(crate) fn is_stale(&self) -> bool {
        let (last, max_age) = (self.last.load(Ordering::SeqCst), self.max_age.load(Ordering::SeqCst));
        // In nanoseconds, which is faster than by `age`: each decision asks. Without a clock, nothing is recent.
        last == NEVER || ffi::time_since_boot().is_none_or(|now| now.saturating_sub(last) > max_age)
    }

    /// The time since the last proof; `None` before the first.
    pub(crate) fn age(&self) -> Option<Duration> {
        match self.last.load(Ordering::SeqCst) {
            NEVER => None,
            last => Some(Moment(last).elapsed()),
        }
    }

    pub(crate) fn max_age(&self) -> Duration {
        Duration::from_nanos(self.max_age.load(Ordering::SeqCst))
    }

    pub(crate) fn on_stale(&self) -> OnStale {
        match self.keeps_connected.load(Ordering::SeqCst) {
            true => OnStale::KeepConnected,
            false => OnStale::Refuse,
        }
    }

    /// Whether a handshake may be decided.
    pub(crate) fn check(&self) -> Result<(), Reason> {
        if self.is_stale() { Err(Reason::Stale) } else { Ok(()) }
    }

    /// Whether an accepted client may be checked again against the tables.
    pub(crate) fn recheck(&self, which: Recheck) -> Result<(), Reason> {
        match (which, self.on_stale()) {
            (Recheck::Connected, OnStale::KeepConnected) => Ok(()),
            _ => self.check(),
        }
    }

    pub(crate) fn observers(&self) -> &Observers {
        &self.observers
    }

    /// Makes the thread check the contact now.
    fn wake(self: &Arc<Self>) {
        let mut watcher = lock(&self.watcher);
        match &*watcher {
            // If the channel is full, the thread is about to check anyway.
            Some(watcher) if !watcher.thread.is_finished() => drop(watcher.wake.try_send(())),
            _ => *watcher = Watcher::start(self),
        }
    }

    /// Publishes a change since the last call. Returns the time until the next check, or `None` to wait until woken.
    fn tell(&self) -> Option<Duration> {
        let is_stale = self.is_stale();
        if self.told_stale.swap(is_stale, Ordering::SeqCst) != is_stale {
            metrics::store_behind(is_stale);
            self.observers.publish(&ReloadEvent::standing(&self.name, if is_stale { STALE } else { IN_CONTACT }));
        }
        match self.age() {
            Some(age) if age <= self.max_age() && !is_stale => {
                let left = self.max_age() - age;
                Some(left.clamp(Duration::from_millis(1), LONGEST_SLEEP))
            }
            age if is_stale && age.is_none_or(|age| age > self.max_age()) => None,
            // The state changed during this call, and a proof in between woke nobody: check again.
            _ => Some(Duration::ZERO),
        }
    }
}

const STALE: Standing = Standing {
    is_behind: true,
    words: "stale: it has had no contact for longer than its max_age",
    meanwhile: "; handshakes are told to retry",
};
const IN_CONTACT: Standing = Standing { is_behind: false, words: "in contact", meanwhile: "" };

fn check_age(max_age: Duration, shortest: Nanos) -> Result<()> {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
    let refused = |problem| Err(Error::Limit { what: "age of pushed credentials", problem });
    if !(SHORTEST..=LONGEST).contains(&max_age) {
        return refused("must be 100 ms to 30 days");
    }
    if nanos(max_age) < shortest {
        return refused("must be three heartbeats or more (one a second, unless the bucket says otherwise)");
    }
    Ok(())
}

#[cfg(feature = "nats")]
fn three_times(interval: Duration) -> Nanos {
    nanos(interval.saturating_mul(3))
}

fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(Nanos::MAX)
}

impl Watcher {
    /// `None` if no thread can be started; the next proof of contact tries again.
    fn start(contact: &Arc<Contact>) -> Option<Self> {
        let (wake, woken) = sync_channel(1);
        let followed = Arc::downgrade(contact);
        let thread = Builder::new().name("zmq-auth-contact".into()).spawn(move || run(&followed, &woken));
        match thread {
            Ok(thread) => Some(Watcher { wake, thread }),
            Err(error) => {
                let name = Escaped(contact.name.as_bytes());
                log_error!("{name}: cannot start a thread: {error}; the loss of contact won't be reported");
                None
            }
        }
    }
}

/// Runs until the last handle on the contact is dropped.
fn run(contact: &Weak<Contact>, woken: &Receiver<()>) {
    loop {
        let Some(held) = contact.upgrade() else { return };
        let look_again = held.tell();
        drop(held);
        let woken = match look_again {
            Some(sleep) => woken.recv_timeout(sleep),
            None => woken.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        if woken == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

impl Drop for Contact {
    fn drop(&mut self) {
        let watcher = self.watcher.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(Watcher { wake, thread }) = watcher {
            drop(wake);
            // The thread itself may have dropped the last handle; then it is about to end.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
        if *self.told_stale.get_mut() {
            metrics::store_behind(false);
        }
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact").field("name", &self.name).field("age", &self.age()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment in the past; assumes that the machine was started before it.
    fn ago(time: Duration) -> Moment {
        Moment(Moment::now().0.saturating_sub(nanos(time)).max(1))
    }

    #[test]
    fn it_is_stale_before_the_first_proof_and_past_its_age() {
        let contact = Contact::new("test");
        assert_eq!((contact.age(), contact.check()), (None, Err(Reason::Stale)));
        contact.limit_age(Duration::from_millis(100), OnStale::Refuse).unwrap();
        contact.proven(ago(Duration::from_secs(1)));
        assert_eq!(contact.check(), Err(Reason::Stale));
        contact.limit_age(Duration::from_secs(3600), OnStale::Refuse).unwrap();
        assert_eq!(contact.check(), Ok(()));
        // An older proof has no effect.
        contact.proven(Moment::now());
        contact.proven(ago(Duration::from_secs(2000)));
        assert!(contact.age().unwrap() < Duration::from_secs(1000));
    }

    #[test]
    fn connected_clients_alone_are_spared() {
        let contact = Contact::new("test");
        assert_eq!(contact.recheck(Recheck::Connected), Err(Reason::Stale));
        contact.limit_age(MAX_AGE, OnStale::KeepConnected).unwrap();
        assert_eq!((contact.recheck(Recheck::Connected), contact.on_stale()), (Ok(()), OnStale::KeepConnected));
        assert_eq!(contact.recheck(Recheck::Handshake), Err(Reason::Stale));
    }

    #[test]
    fn an_age_outside_its_range_is_refused_and_changes_nothing() {
        let contact = Contact::new("test");
        for age in [Duration::ZERO, Duration::from_millis(99), Duration::from_secs(31 * 24 * 3600), Duration::MAX] {
            assert!(matches!(contact.limit_age(age, OnStale::Refuse), Err(Error::Limit { .. })), "{age:?}");
        }
        assert_eq!(contact.max_age(), MAX_AGE);
    }
}
