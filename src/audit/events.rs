//! Events: what happened, as values in bounded queues that the handler never waits for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

/// One thing that happened. What came from the wire is escaped and cut to 256 bytes, and there is never a secret in it.
///
/// ```
/// use zmq_auth::EventKind;
///
/// let auth = zmq_auth::Authenticator::new();
/// let events = auth.events(100);
/// let null: [&[u8]; 6] = [b"1.0", b"1", b"lab", b"127.0.0.1", b"", b"NULL"];
/// auth.handle_zap_message(&null);
///
/// let event = events.try_next().expect("an event");
/// assert_eq!(event.kind, EventKind::Allowed);
/// assert_eq!((event.mechanism.as_str(), event.address.as_str()), ("NULL", "127.0.0.1"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// When it happened.
    pub time: SystemTime,
    /// What happened.
    pub kind: EventKind,
    /// The mechanism; empty where the event is about no client, or the request was malformed.
    pub mechanism: String,
    /// The ZAP domain, as `mechanism`.
    pub domain: String,
    /// The client's address, as `mechanism`.
    pub address: String,
    /// Who the client says it is: its user name, its Z85 public key, its principal. Only an
    /// [`Allowed`](EventKind::Allowed) one has proved it.
    pub client: Option<String>,
    /// The user id that a client was let in with.
    pub user_id: Option<String>,
    /// The ZAP status code of the answer: 200, 300, 400 or 500.
    pub status: Option<u16>,
    /// Why, in words.
    pub reason: String,
}

/// The kinds of [`Event`].
///
/// ```
/// assert_ne!(zmq_auth::EventKind::Denied, zmq_auth::EventKind::Retry);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A client was let in (200).
    Allowed,
    /// A client was refused (400).
    Denied,
    /// A client was told to come again (300).
    Retry,
    /// A client was refused because a callback failed, panicked or could not be run (500).
    CallbackFailed,
    /// A callback has not returned by its deadline. Published as their number doubles, and when no more are replaced.
    CallbackHung,
    /// A request was malformed, and refused (400).
    Malformed,
    /// A request could not be answered at all.
    Dropped,
    /// A store was read again.
    Reloaded,
    /// A store could not be read again, or not all of it: what was good before stays in force.
    ReloadFailed,
    /// A handler started.
    Started,
    /// A handler stopped.
    Stopped,
}

impl Event {
    /// An event about no client.
    pub(crate) fn plain(kind: EventKind, reason: String) -> Self {
        Event {
            time: SystemTime::now(),
            kind,
            mechanism: String::new(),
            domain: String::new(),
            address: String::new(),
            client: None,
            user_id: None,
            status: None,
            reason,
        }
    }
}

/// A stream of events from [`Authenticator::events`](crate::Authenticator::events). Dropping it ends it.
///
/// The handler never waits for it: what doesn't fit is dropped and counted.
///
/// ```
/// let auth = zmq_auth::Authenticator::new();
/// let events = auth.events(1);
/// let null: [&[u8]; 6] = [b"1.0", b"1", b"", b"127.0.0.1", b"", b"NULL"];
/// auth.handle_zap_message(&null);
/// auth.handle_zap_message(&null);
/// assert!(events.try_next().is_some() && events.try_next().is_none());
/// assert_eq!(events.dropped(), 1);
/// ```
#[derive(Debug)]
pub struct Events(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    events: Mutex<VecDeque<Event>>,
    arrived: Condvar,
    #[cfg(feature = "tokio")]
    arrived_async: tokio::sync::Notify,
    capacity: usize,
    dropped: AtomicU64,
}

impl Events {
    /// The oldest event that is there.
    pub fn try_next(&self) -> Option<Event> {
        self.0.lock().pop_front()
    }

    /// Waits for the next event; `None` when the time is over.
    pub fn next_timeout(&self, timeout: Duration) -> Option<Event> {
        let deadline = Instant::now() + timeout;
        let mut events = self.0.lock();
        loop {
            if let Some(event) = events.pop_front() {
                return Some(event);
            }
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            events = self.0.arrived.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the next event, in a task. Cancelling it loses nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let auth = zmq_auth::Authenticator::new();
    /// let events = auth.events(10);
    /// let null: [&[u8]; 6] = [b"1.0", b"1", b"", b"127.0.0.1", b"", b"NULL"];
    /// auth.handle_zap_message(&null);
    /// assert_eq!(events.next().await.status, Some(200));
    /// # }
    /// ```
    #[cfg(feature = "tokio")]
    pub async fn next(&self) -> Event {
        loop {
            let arrived = self.0.arrived_async.notified();
            if let Some(event) = self.try_next() {
                return event;
            }
            arrived.await;
        }
    }

    /// How many events did not fit.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Event) {
        let mut events = self.lock();
        if events.len() >= self.capacity {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        events.push_back(event);
        drop(events);
        self.arrived.notify_one();
        #[cfg(feature = "tokio")]
        self.arrived_async.notify_one();
    }
}

/// The streams that are open.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    // Looked at first, and alone where nobody listens.
    open: AtomicUsize,
    queues: RwLock<Vec<Weak<Queue>>>,
}

impl Subscribers {
    pub(super) fn open(&self, capacity: usize) -> Events {
        let queue = Arc::new(Queue {
            events: Mutex::default(),
            arrived: Condvar::new(),
            #[cfg(feature = "tokio")]
            arrived_async: tokio::sync::Notify::new(),
            capacity: capacity.max(1),
            dropped: AtomicU64::new(0),
        });
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(&queue));
        self.open.store(queues.len(), Ordering::Release);
        Events(queue)
    }

    /// Hands the event to every stream; makes it only if there is one.
    pub(super) fn send(&self, event: impl FnOnce() -> Event) {
        if self.open.load(Ordering::Acquire) == 0 {
            return;
        }
        let queues = self.queues.read().unwrap_or_else(PoisonError::into_inner);
        let open: Vec<Arc<Queue>> = queues.iter().filter_map(Weak::upgrade).collect();
        drop(queues);
        let Some((last, others)) = open.split_last() else {
            self.forget_closed();
            return;
        };
        let event = event();
        for queue in others {
            queue.push(event.clone());
        }
        last.push(event);
    }

    fn forget_closed(&self) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|queue| queue.strong_count() > 0);
        self.open.store(queues.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: &str) -> Event {
        Event::plain(EventKind::Started, reason.to_owned())
    }

    #[test]
    fn every_stream_gets_every_event_in_order() {
        let streams = Subscribers::default();
        let (first, second) = (streams.open(10), streams.open(10));
        streams.send(|| event("a"));
        streams.send(|| event("b"));
        for stream in [&first, &second] {
            let reasons = [stream.try_next().unwrap().reason, stream.try_next().unwrap().reason];
            assert_eq!(reasons, ["a", "b"]);
            assert_eq!(stream.try_next(), None);
        }
    }

    #[test]
    fn a_stream_that_is_gone_costs_nothing() {
        let streams = Subscribers::default();
        drop(streams.open(10));
        streams.send(|| panic!("nobody listens"));
        assert_eq!(streams.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_that_waits_is_woken() {
        let streams = Subscribers::default();
        let stream = streams.open(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| stream.next_timeout(Duration::from_secs(30)));
            streams.send(|| event("a"));
            assert_eq!(waiting.join().unwrap().unwrap().reason, "a");
        });
        assert_eq!(stream.next_timeout(Duration::from_millis(1)), None);
    }
}
