//! The handle on a policy, and the one lock that it is changed and read under.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::address::AddressRules;
use super::attempts::Attempts;
use super::call::UserIdMap;
use super::domain::{Domains, Sources};
use super::limits::CallLimits;
use super::marks::Marks;
use super::{Outcome, Reason};
use crate::audit::Audit;
use crate::zap::{Malformed, Parsed, Reply, Request, Subject};

/// Decides who may connect. A clone is a handle on the same policy.
///
/// A new one lets NULL clients in and denies PLAIN, CURVE and GSSAPI, as pyzmq's does. Every method takes `&self`, may be
/// called at any time from any thread and from callbacks, and is in force for every handshake that begins after it
/// returned. A call that answers an `Err` has changed nothing.
///
/// # Domains
///
/// A domain is 1 to 255 bytes, compared byte for byte. A request is decided by the source of exactly its domain, else by
/// that of `"*"`, for each mechanism apart. The empty domain of a socket that has none is covered by `"*"` alone. A domain
/// has one PLAIN and one CURVE source: configuring it again replaces the source, whole and at once.
///
/// # Addresses
///
/// Address rules hold for all domains and mechanisms and are looked at first. Deny wins; once an allow rule exists, only
/// what an allow rule covers is let on (to its mechanism, which still decides). `::ffff:a.b.c.d` is the IPv4 address. An
/// ipc client isn't touched by IP denials, and is kept out by an allow list unless
/// [`allow_ipc`](Authenticator::allow_ipc) covers it. An address that is neither is refused as soon as a rule exists.
///
/// ```
/// use zmq_auth::Authenticator;
///
/// let auth = Authenticator::new();
/// auth.allow(["127.0.0.1", "10.0.0.0/8"])?;
/// auth.configure_plain("shop", [("alice", "correct horse battery staple")])?;
///
/// let context = zmq_auth::zmq::Context::new();
/// let running = auth.start(&context)?; // stops when dropped
/// # running.stop()?;
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    policy: RwLock<Policy>,
    // Held by whoever changes the policy: one at a time, so that a large change is made in a copy while the old rules are
    // still decided by.
    turn: Mutex<()>,
    audit: Audit,
    limits: CallLimits,
    // Set for good by the first use of marks or of a limit on failures.
    settles: AtomicBool,
}

/// The rules at one moment.
#[derive(Default)]
pub(crate) struct Policy {
    pub(super) addresses: AddressRules,
    pub(super) domains: Domains,
    pub(super) user_id: Option<Arc<UserIdMap>>,
    pub(super) attempts: Option<Arc<Attempts>>,
    pub(super) marks: Option<Marks>,
}

impl Authenticator {
    /// NULL let in; PLAIN, CURVE and GSSAPI denied.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides one ZAP request (RFC 27) without a socket or a thread: for handlers of your own, and for tests.
    ///
    /// `frames` begin with the version frame, as does the reply; neither has an envelope or the empty delimiter.
    /// Callbacks run in the calling thread, without a deadline. `None` for fewer than two frames: there is no request id
    /// to answer with.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// let request: [&[u8]; 6] = [b"1.0", b"1", b"domain", b"127.0.0.1", b"", b"NULL"];
    /// let reply = auth.handle_zap_message(&request).expect("more than two frames");
    /// assert_eq!(reply[2], b"200"); // version, request id, status code, status text, user id, metadata
    /// ```
    pub fn handle_zap_message<B: AsRef<[u8]>>(&self, frames: &[B]) -> Option<Vec<Vec<u8>>> {
        let Some(parsed) = Parsed::new(frames) else {
            self.audit().dropped();
            return None;
        };
        let mut reply = Reply::new();
        let subject = parsed.request.as_ref().map_or_else(|_| Subject::unknown(), Subject::of);
        let reason = match self.decide(&parsed.request, &mut reply) {
            Outcome::Decided(reason) => reason,
            Outcome::Ask(call) => {
                let answer = call.run();
                reply = answer.reply;
                answer.reason
            }
        };
        self.settle(&subject, reason, &mut reply);
        Some(reply.frames(parsed.request_id.as_ref()).map(<[u8]>::to_vec).into())
    }

    pub(crate) fn decide(&self, request: &Result<Request<'_>, Malformed>, reply: &mut Reply) -> Outcome {
        match request {
            Ok(request) => self.read().decide(request, reply),
            Err(malformed) => {
                let reason = Reason::Malformed(*malformed);
                reason.refuse(reply);
                Outcome::Decided(reason)
            }
        }
    }

    /// What every answer goes through on its way out, whichever face sends it.
    pub(crate) fn settle(&self, subject: &Subject<'_>, reason: Reason, reply: &mut Reply) {
        // Nothing of this costs a policy that uses none of it.
        if self.shared.settles.load(Ordering::Acquire) {
            let policy = self.read();
            if let Some(marks) = &policy.marks {
                marks.put(subject, reply);
            }
            let attempts = policy.attempts.clone();
            drop(policy);
            if let Some(attempts) = attempts {
                attempts.note(subject, reason, Instant::now());
            }
        }
        self.audit().record(subject, reason, reply);
    }

    /// Gives out the handle as long as the policy lives, without keeping it alive.
    pub(super) fn weakly(&self) -> impl Fn() -> Option<Authenticator> + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map(|shared| Authenticator { shared })
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    pub(crate) fn limits(&self) -> &CallLimits {
        &self.shared.limits
    }

    /// Changes one domain under the lock; what it answers is freed by the caller, behind the lock.
    pub(super) fn change<T>(&self, domain: &str, change: impl FnOnce(&mut Sources) -> T) -> T {
        change(self.write().domains.entry(domain))
    }

    pub(super) fn write_settling(&self) -> Change<'_> {
        self.shared.settles.store(true, Ordering::Release);
        self.write()
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Policy> {
        self.shared.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A small change, made at once.
    pub(super) fn write(&self) -> Change<'_> {
        self.turn().write()
    }

    /// The turn to change the policy. Decisions go on until [`Turn::write`].
    pub(super) fn turn(&self) -> Turn<'_> {
        Turn { authenticator: self, mine: self.shared.turn.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

// No code of a caller runs under either lock, so that nothing is half done where one was poisoned.

/// The right to change the policy, while decisions go on.
pub(super) struct Turn<'a> {
    authenticator: &'a Authenticator,
    mine: MutexGuard<'a, ()>,
}

impl<'a> Turn<'a> {
    /// Nobody else changes it in the meantime.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Policy> {
        self.authenticator.read()
    }

    /// Decisions wait from here on.
    pub(super) fn write(self) -> Change<'a> {
        let policy = self.authenticator.shared.policy.write().unwrap_or_else(PoisonError::into_inner);
        Change { policy, _mine: self.mine }
    }
}

/// The policy under change. What is taken out is to be dropped after this, for decisions wait.
pub(super) struct Change<'a> {
    policy: RwLockWriteGuard<'a, Policy>,
    _mine: MutexGuard<'a, ()>,
}

impl Deref for Change<'_> {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Policy {
        &mut self.policy
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("domains", &self.read().domains.len()).finish_non_exhaustive()
    }
}
