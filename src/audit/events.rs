//! Events: what happened, in bounded queues that the handler never waits for.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use crate::escape::Escaped;

/// Something that happened. It never contains a secret.
///
/// The fields contain text as it arrived (a user id equals the one on the client's messages), so they may contain line
/// breaks and control characters. Bytes that aren't UTF-8 are replaced, and text is cut to 1,024 bytes. To write an event
/// to a log or terminal, use its `Display`, which escapes.
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
    /// The mechanism; empty if the event isn't about a client, or the request was malformed.
    pub mechanism: String,
    /// The ZAP domain; empty as `mechanism`.
    pub domain: String,
    /// The client's address; empty as `mechanism`.
    pub address: String,
    /// The identity that the client presented: its user name, Z85 public key or principal. It is proven only in an
    /// [`Allowed`](EventKind::Allowed) event.
    pub client: Option<String>,
    /// The user id that the client was accepted with.
    pub user_id: Option<String>,
    /// The ZAP status code of the reply: 200, 300, 400 or 500.
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
    /// A client was accepted (200).
    Allowed,
    /// A client was refused (400).
    Denied,
    /// A client was refused for now (300).
    Retry,
    /// A client was refused because a callback failed, panicked or could not be run (500).
    CallbackFailed,
    /// A callback has not returned by its deadline. Published each time their number doubles, and when no more are replaced.
    CallbackHung,
    /// A request was malformed, and refused (400).
    Malformed,
    /// A request could not be replied to.
    Dropped,
    /// A store was reloaded, or credentials were pushed.
    Reloaded,
    /// A store could not be reloaded, or not completely: what was valid before stays.
    ReloadFailed,
    /// A store is behind the disk, which could not be read completely: what was removed there may still be accepted. Or
    /// pushed credentials have had no contact for too long: handshakes get 300.
    StoreBehind,
    /// A store has caught up with the disk, or pushed credentials are in contact again.
    StoreCaughtUp,
    /// A handler started.
    Started,
    /// A handler stopped.
    Stopped,
}

impl Event {
    /// An event that isn't about a client.
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

/// One line, escaped.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)?;
        let Event { mechanism, domain, address, client, user_id, reason, .. } = self;
        let escaped = |text: &str| Escaped(text.as_bytes()).to_string();
        if !mechanism.is_empty() {
            write!(f, " {} in domain \"{}\" from {}", escaped(mechanism), escaped(domain), escaped(address))?;
        }
        if let Some(client) = client {
            write!(f, ", client \"{}\"", escaped(client))?;
        }
        if let Some(user_id) = user_id {
            write!(f, ", user id \"{}\"", escaped(user_id))?;
        }
        write!(f, ": {}", escaped(reason))
    }
}

/// A stream of events from [`Authenticator::events`](crate::Authenticator::events). Dropping it ends it.
///
/// The handler never waits for it: an event that doesn't fit is dropped and counted. A full stream still takes important
/// events: one about a store or a handler replaces the newest one about a client, and one about an accepted client replaces
/// the newest about a refused one.
/// newest refused one.
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
    events: Mutex<Pending>,
    arrived: Condvar,
    #[cfg(feature = "tokio")]
    arrived_async: tokio::sync::Notify,
    capacity: usize,
    dropped: AtomicU64,
}

/// The queued events by importance, each with its number.
#[derive(Debug, Default)]
struct Pending {
    classes: [VecDeque<(u64, Event)>; CLASSES],
    next: u64,
}

/// The importance of an event: 0 is a client that isn't accepted, 1 an accepted client, 2 a store or a handler. No client can
/// cause events of class 2.
fn class(kind: EventKind) -> usize {
    match kind {
        EventKind::Reloaded
        | EventKind::ReloadFailed
        | EventKind::StoreBehind
        | EventKind::StoreCaughtUp
        | EventKind::Started
        | EventKind::Stopped => 2,
        EventKind::Allowed => 1,
        EventKind::Denied
        | EventKind::Retry
        | EventKind::CallbackFailed
        | EventKind::CallbackHung
        | EventKind::Malformed
        | EventKind::Dropped => 0,
    }
}

const CLASSES: usize = 3;

impl Pending {
    /// Adds an event; returns whether nothing was dropped.
    fn push(&mut self, event: Event, capacity: usize) -> bool {
        let class = class(event.kind);
        let fits = self.classes.iter().map(VecDeque::len).sum::<usize>() < capacity;
        if !fits {
            // The newest event of the least important class below this one.
            let Some(lower) = self.classes[..class].iter_mut().find(|lower| !lower.is_empty()) else { return false };
            lower.pop_back();
        }
        self.classes[class].push_back((self.next, event));
        self.next += 1;
        fits
    }

    /// Takes the oldest event.
    fn pop(&mut self) -> Option<Event> {
        let oldest = |events: &VecDeque<(u64, Event)>| events.front().map(|(number, _)| *number);
        let class = self.classes.iter_mut().filter(|events| !events.is_empty()).min_by_key(|events| oldest(events))?;
        class.pop_front().map(|(_, event)| event)
    }
}

impl Events {
    /// Returns the oldest queued event.
    pub fn try_next(&self) -> Option<Event> {
        self.0.lock().pop()
    }

    /// Waits for the next event; `None` on timeout.
    pub fn next_timeout(&self, timeout: Duration) -> Option<Event> {
        // A deadline past the range of the clock is no deadline.
        let deadline = Instant::now().checked_add(timeout);
        let mut events = self.0.lock();
        loop {
            if let Some(event) = events.pop() {
                return Some(event);
            }
            let left = match deadline {
                Some(deadline) => deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?,
                None => Duration::from_secs(3_600),
            };
            events = self.0.arrived.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for the next event, asynchronously. Cancelling it loses nothing.
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

    /// The number of events that were dropped.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: Event) {
        let mut events = self.lock();
        let fits = events.push(event, self.capacity);
        drop(events);
        if !fits {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.arrived.notify_one();
        #[cfg(feature = "tokio")]
        self.arrived_async.notify_one();
    }
}

/// The open streams.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    // Checked first, so that without streams nothing else is touched.
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

    /// Sends the event to every stream; creates it only if there is one.
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
    fn a_dropped_stream_costs_nothing() {
        let streams = Subscribers::default();
        drop(streams.open(10));
        streams.send(|| panic!("nobody listens"));
        assert_eq!(streams.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_waiting_reader_is_woken() {
        let streams = Subscribers::default();
        let stream = streams.open(1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| stream.next_timeout(Duration::from_secs(30)));
            streams.send(|| event("a"));
            assert_eq!(waiting.join().unwrap().unwrap().reason, "a");
        });
        assert_eq!(stream.next_timeout(Duration::from_millis(1)), None);
        streams.send(|| event("b"));
        assert_eq!(stream.next_timeout(Duration::MAX).unwrap().reason, "b");
    }

    fn of(kind: EventKind) -> Event {
        Event { kind, ..event("") }
    }

    #[test]
    fn a_full_stream_keeps_room_for_important_events() {
        use EventKind::{Allowed, Denied, ReloadFailed, Stopped};
        let subscribers = Subscribers::default();
        let stream = subscribers.open(3);
        for kind in [Denied, Denied, Denied, Denied, Allowed, Allowed, Denied, ReloadFailed, Stopped] {
            subscribers.send(|| of(kind));
        }
        let kinds: Vec<EventKind> = std::iter::from_fn(|| stream.try_next()).map(|event| event.kind).collect();
        assert_eq!(kinds, [Allowed, ReloadFailed, Stopped]);
        assert_eq!(stream.dropped(), 6);
        for kind in [Stopped, Stopped, Stopped, Allowed, Stopped] {
            subscribers.send(|| of(kind));
        }
        assert_eq!(std::iter::from_fn(|| stream.try_next()).count(), 3);
        assert_eq!(stream.dropped(), 8);
    }

    #[test]
    fn text_is_kept_as_it_came_and_escaped_when_printed() {
        let event =
            Event { client: Some("O'Brien".into()), user_id: Some("CORP\\al\nice".into()), ..of(EventKind::Allowed) };
        let line = event.to_string();
        assert!(line.contains("O\\'Brien") && line.contains("CORP\\\\al\\nice") && !line.contains('\n'), "{line}");
    }
}
