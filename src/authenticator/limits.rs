//! Limits on callbacks and failures, and the calls for user ids, events and counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::Authenticator;
use super::throttle::{FailureLimit, FailureLimiter};
use crate::audit::Counters;
use crate::curve::{CurveSource, UserId, UserIdSource};
use crate::error::{Error, Result};
use crate::keys::PublicKey;

/// The limits on callbacks, read by every handler of the policy.
pub(crate) struct CallLimits {
    at_once: AtomicUsize,
    #[cfg(feature = "tokio")]
    async_at_once: AtomicUsize,
    deadline_ms: AtomicU64,
}

impl Default for CallLimits {
    fn default() -> Self {
        let limits = CallLimits {
            at_once: AtomicUsize::default(),
            #[cfg(feature = "tokio")]
            async_at_once: AtomicUsize::new(ASYNC_AT_ONCE),
            deadline_ms: AtomicU64::default(),
        };
        limits.set(CallbackLimit::DEFAULT);
        limits
    }
}

/// The default number of concurrent async callbacks of a handler.
#[cfg(any(feature = "policy", feature = "tokio"))]
pub(super) const ASYNC_AT_ONCE: usize = 1024;

#[cfg(any(feature = "policy", feature = "tokio"))]
pub(crate) fn check_async_at_once(at_once: usize) -> Result<usize> {
    match at_once {
        1..=1_000_000 => Ok(at_once),
        _ => Err(Error::Limit { what: "concurrent async callbacks", problem: "must be 1 to 1,000,000" }),
    }
}

/// The number of threads that may run callbacks in one handler, and how long a callback may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallbackLimit {
    pub(crate) at_once: usize,
    pub(crate) deadline: Duration,
}

impl CallbackLimit {
    pub(crate) const DEFAULT: Self = CallbackLimit { at_once: 64, deadline: Duration::from_secs(5) };

    pub(crate) fn new(at_once: usize, deadline: Duration) -> Result<Self> {
        if !(1..=4096).contains(&at_once) {
            return Err(Error::Limit { what: "concurrent callbacks", problem: "must be 1 to 4,096" });
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&deadline) {
            return Err(Error::Limit { what: "callback deadline", problem: "must be 1 ms to 1 h" });
        }
        Ok(CallbackLimit { at_once, deadline })
    }
}

impl CallLimits {
    pub(super) fn set(&self, limit: CallbackLimit) {
        self.at_once.store(limit.at_once, Ordering::Relaxed);
        let deadline_ms = u64::try_from(limit.deadline.as_millis()).unwrap_or(u64::MAX);
        self.deadline_ms.store(deadline_ms, Ordering::Relaxed);
    }

    #[cfg(feature = "tokio")]
    pub(super) fn set_async_at_once(&self, at_once: usize) {
        self.async_at_once.store(at_once, Ordering::Relaxed);
    }

    /// The number of threads that may run callbacks in one handler.
    pub(crate) fn at_once(&self) -> usize {
        self.at_once.load(Ordering::Relaxed)
    }

    /// The number of tasks that may run async callbacks in one handler.
    #[cfg(feature = "tokio")]
    pub(crate) fn async_at_once(&self) -> usize {
        self.async_at_once.load(Ordering::Relaxed)
    }

    /// How long a callback may take, counted from the arrival of its request.
    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.load(Ordering::Relaxed))
    }
}

impl Authenticator {
    /// Sets the function that names CURVE clients: the `User-Id` of their messages. The default is the Z85 public key.
    ///
    /// The function runs where callbacks run, once for each accepted client, unless a callback already chose a user id with
    /// [`Verdict::AllowAs`](crate::Verdict::AllowAs). If it panics, the client is refused with status 500.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let alice = zmq_auth::PublicKey::from([7; 32]);
    /// auth.curve_user_id(move |key| if *key == alice { "alice".into() } else { key.to_string() });
    /// ```
    pub fn curve_user_id<F>(&self, map: F)
    where
        F: Fn(&PublicKey) -> String + Send + Sync + 'static,
    {
        let old = std::mem::replace(&mut self.write().user_id, UserIdSource::Map(Arc::new(map)));
        drop(old);
    }

    /// As [`curve_user_id`](Self::curve_user_id), but with what a directory knows of a key: the name of its file, or its
    /// metadata. No callback runs for it. The later of the two calls counts.
    ///
    /// Call it first: a directory that [`configure_curve`](Self::configure_curve) has already read has not kept its file
    /// names, and its clients have their keys as user ids until it is configured again.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.curve_user_id_from(zmq_auth::UserId::Metadata("name".into()));
    /// ```
    pub fn curve_user_id_from(&self, source: UserId) {
        let source = UserIdSource::Certificate(source);
        let needs_file_names = source.needs_file_names();
        let old = std::mem::replace(&mut self.write().user_id, source);
        drop(old);
        if needs_file_names {
            let policy = self.read();
            policy.domains.each().filter_map(|sources| sources.curve.as_ref()).for_each(CurveSource::keep_file_names);
        }
    }

    /// Limits the callbacks of a handler: how many threads may run them at once (default 64), and how long one may take,
    /// counted from the arrival of its request (default 5 s). Beyond either, the client is refused with 300. Applies to
    /// later requests.
    ///
    /// - **Shares.** Half of the threads are reserved in equal parts for the domains that have callbacks; the other half
    ///   is first come, first served. While nobody else waits, a single address of a single domain may use all of them.
    ///   If no thread is free, a callback waits: domains take turns, and so do the addresses of a domain (an IPv6 /64
    ///   counts as one address). It is refused at once if its address already has its equal share, or if its turn would
    ///   come after its deadline. At most `at_once` callbacks of a domain wait.
    /// - **Hung callbacks.** A callback that hasn't returned by its deadline is abandoned, and another thread takes its
    ///   place. That happens for up to `at_once` callbacks of a domain, and for another `at_once` on behalf of other domains: a
    ///   handler has at most three times `at_once` threads for callbacks. Beyond that, a domain whose callbacks hang has
    ///   fewer and fewer threads until they return; other domains keep theirs. `calls_replaced` of
    ///   [`counters`](Self::counters) counts them, and [`EventKind::CallbackHung`](crate::EventKind::CallbackHung) and the
    ///   log report them. It is better to give the callback its own time limit.
    ///
    /// # Errors
    /// [`Error::Limit`] for `at_once` of 0 or above 4,096, and for a deadline below 1 ms or above an hour.
    ///
    /// ```
    /// use std::time::Duration;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.limit_callbacks(16, Duration::from_secs(2))?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn limit_callbacks(&self, at_once: usize, deadline: Duration) -> Result<()> {
        self.limits().set(CallbackLimit::new(at_once, deadline)?);
        Ok(())
    }

    /// Limits the concurrent async callbacks of the tokio handler (default 1,024); beyond that, the client is refused
    /// with 300. Deadline and shares are those of [`limit_callbacks`](Self::limit_callbacks). A callback is cancelled at
    /// its deadline.
    ///
    /// # Errors
    /// [`Error::Limit`] for 0 or more than a million.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.limit_async_callbacks(10_000)?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[cfg(feature = "tokio")]
    pub fn limit_async_callbacks(&self, at_once: usize) -> Result<()> {
        self.limits().set_async_at_once(check_async_at_once(at_once)?);
        Ok(())
    }

    /// After `failures` wrong passwords within `window` from one address or for one user, refuses PLAIN clients of that
    /// address or user with 300 for `pause`, without checking their passwords. Each domain counts separately. Off by
    /// default; calling it again starts from zero.
    ///
    /// - A wrong password, an unknown user, and a callback's `Deny`, `Fault`, `Err` or panic are failures. While the
    ///   callback's own backend is down, return [`Verdict::Retry`](crate::Verdict::Retry), which isn't one.
    /// - Attempts in progress count as failures until they are decided. So with a callback or hashed passwords, at most
    ///   `failures` clients of one address or user can log in at the same moment; the others are refused with 300 and
    ///   retry. Choose `failures` larger than the number of clients that reconnect together from behind one NAT or tunnel.
    /// - A correct password neither removes failures nor ends a pause. A paused user is locked out as well: anybody who
    ///   knows a user's name can cause that.
    /// - An IPv6 /64 counts as one address. A network (an IPv6 /48, an IPv4 /24) is paused after 16 times as many failures.
    /// - Memory is bounded (3 MB). When the table is full, new clients share counters: the limit gets stricter.
    ///
    /// CURVE, NULL and GSSAPI clients are never paused: a key can't be guessed.
    ///
    /// # Errors
    /// [`Error::Limit`] for 0 failures, and for times below 1 s or above a day.
    ///
    /// ```
    /// use std::time::Duration;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.limit_failures(5, Duration::from_secs(60), Duration::from_secs(300))?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn limit_failures(&self, failures: u32, window: Duration, pause: Duration) -> Result<()> {
        let limiter = FailureLimiter::new(FailureLimit::new(failures, window, pause)?);
        let old = self.write().failure_limiter.replace(Arc::new(limiter));
        drop(old);
        Ok(())
    }

    /// Ends [`limit_failures`](Self::limit_failures) and all its pauses.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.unlimit_failures();
    /// ```
    pub fn unlimit_failures(&self) {
        let old = self.write().failure_limiter.take();
        drop(old);
    }

    /// Opens a stream of events, from now on, of every handler of this policy. It buffers up to `capacity` events (at
    /// least one); an event that doesn't fit is dropped and counted. Nothing ever waits for the reader.
    ///
    /// ```
    /// let auth = zmq_auth::Authenticator::new();
    /// let events = auth.events(1000);
    /// std::thread::spawn(move || {
    ///     while let Some(event) = events.next_timeout(std::time::Duration::from_secs(60)) {
    ///         println!("{event:?}");
    ///     }
    /// });
    /// ```
    pub fn events(&self, capacity: usize) -> crate::Events {
        self.audit().events(capacity)
    }

    /// Counts of the decisions so far, of every handler of this policy.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// assert_eq!(auth.counters().denied, 0);
    /// ```
    pub fn counters(&self) -> Counters {
        self.audit().counters()
    }
}
