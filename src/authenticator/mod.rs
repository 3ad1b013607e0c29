//! The policy: what is accepted, and the handle that changes it while handshakes are decided.

mod accepted;
mod address_rules;
mod configure;
mod decide;
mod domains;
mod explain;
mod limits;
#[cfg(feature = "policy")]
mod replace;
mod revocation;
mod throttle;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use crate::address::{AddressRules, Ipv6Prefix, Origin};
use crate::audit::Audit;
use crate::callback::{Call, Decision};
use crate::curve::UserIdSource;
use crate::fair_queue::{Claim, PolicyId};
use crate::reason::{Reason, Recheck};
use crate::zap::{Client, Malformed, Parsed, Reply, Request, Status};
pub use accepted::AcceptedClient;
use accepted::PausedClients;
pub use configure::CURVE_ALLOW_ANY;
use decide::Limit;
use domains::Domains;
pub(crate) use domains::Sources;
pub(crate) use domains::check as check_domain;
pub use explain::{Explanation, MatchedDomain};
pub(crate) use limits::CallLimits;
#[cfg(feature = "policy")]
pub(crate) use limits::{CallbackLimit, check_async_at_once};
#[cfg(feature = "policy")]
pub(crate) use replace::{Names, PolicyContent, Replaced};
use revocation::ConnectionTags;
pub(crate) use throttle::Attempt;
#[cfg(feature = "policy")]
pub(crate) use throttle::FailureLimit;
use throttle::FailureLimiter;

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

/// What all handles on one policy share.
///
/// The policy has two locks. `policy` is the one that decisions read it under; it is held for writing only while a change
/// that takes microseconds is made. `update` is held by whoever changes the policy, from before the first look at what is
/// there until the change is made: so a large change can be prepared in a copy while decisions go on with the old rules,
/// and no other change comes in between. Both are always taken in this order, `update` first.
#[derive(Default)]
struct Shared {
    policy: RwLock<Policy>,
    update: Mutex<()>,
    audit: Audit,
    limits: CallLimits,
    // Set for good by the first use of connection tags.
    tags_connections: AtomicBool,
}

/// The rules at one moment.
#[derive(Default)]
struct Policy {
    addresses: AddressRules,
    domains: Domains,
    user_id: UserIdSource,
    failure_limiter: Option<Arc<FailureLimiter>>,
    tags: Option<ConnectionTags>,
    paused: PausedClients,
}

/// A decision with its reply written, or a call that will make it.
pub(crate) enum Outcome {
    Decided(Reason, Option<Box<Attempt>>),
    Ask(Call, Option<Box<Attempt>>),
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
        let outcome = self.decide(&parsed.request, &mut reply);
        let client = parsed.request.as_ref().map_or_else(|_| Client::unknown(), Client::of);
        match outcome {
            Outcome::Decided(reason, attempt) => self.finalize(&client, reason, &mut reply, attempt),
            Outcome::Ask(call, attempt) => {
                reply = self.finalize_call(&client, call.run(&self.claim(&client, Instant::now())), attempt)
            }
        }
        Some(reply.frames(parsed.request_id.as_ref()).map(<[u8]>::to_vec).into())
    }

    pub(crate) fn decide(&self, request: &Result<Request<'_>, Malformed>, reply: &mut Reply) -> Outcome {
        self.decide_with(request, Limit::Reserve, reply)
    }

    fn decide_with(&self, request: &Result<Request<'_>, Malformed>, limit: Limit, reply: &mut Reply) -> Outcome {
        match request {
            Ok(request) => self.read().decide(request, limit, reply),
            Err(malformed) => {
                let reason = Reason::Malformed(*malformed);
                reason.refuse(reply);
                Outcome::Decided(reason, None)
            }
        }
    }

    /// Finalizes the decision of a call, and returns its reply.
    ///
    /// A call may take a while, and the policy may have changed meanwhile. Whoever the call accepts is checked again under
    /// the policy as it is now: a rule that was set before this reply is written holds for it.
    pub(crate) fn finalize_call(
        &self,
        client: &Client<'_>,
        decision: Decision,
        attempt: Option<Box<Attempt>>,
    ) -> Reply {
        let Decision { mut reason, mut reply } = decision;
        if reply.status() == Status::Success
            && let Err(changed) = self.read().recheck(client, reason.evidence(), Recheck::Handshake)
        {
            reason = changed;
            reason.refuse(&mut reply);
        }
        self.finalize(client, reason, &mut reply, attempt);
        reply
    }

    /// The last step of every decision, in whichever front end: tags the connection, counts a failure, logs.
    pub(crate) fn finalize(
        &self,
        client: &Client<'_>,
        reason: Reason,
        reply: &mut Reply,
        attempt: Option<Box<Attempt>>,
    ) {
        // A policy without tags pays nothing.
        if self.shared.tags_connections.load(Ordering::Acquire)
            && let Some(tags) = &self.read().tags
        {
            tags.attach(client, reason, reply);
        }
        if let Some(attempt) = attempt {
            attempt.finish(reason, Instant::now());
        }
        self.audit().record(client, reason, reply);
    }

    /// Upgrades to the handle as long as the policy lives, without keeping it alive.
    fn weak_handle(&self) -> impl Fn() -> Option<Authenticator> + Send + Sync + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || shared.upgrade().map(|shared| Authenticator { shared })
    }

    /// Whose a call about this client is, and until when its decision is wanted.
    pub(crate) fn claim(&self, client: &Client<'_>, now: Instant) -> Claim {
        Claim {
            policy: PolicyId(Arc::as_ptr(&self.shared).addr()),
            domain: Arc::from(&*client.domain),
            origin: Origin::of(&client.address, Ipv6Prefix::Subnet),
            deadline: now + self.limits().deadline(),
        }
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    pub(crate) fn limits(&self) -> &CallLimits {
        &self.shared.limits
    }

    /// Changes the sources of one domain. The caller drops what is returned after the lock is released.
    fn change<T>(&self, domain: &str, change: impl FnOnce(&mut Sources) -> T) -> T {
        change(self.write().domains.entry(domain))
    }

    fn read(&self) -> RwLockReadGuard<'_, Policy> {
        self.shared.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For a small change, made at once.
    fn write(&self) -> PolicyWriteGuard<'_> {
        self.begin_update().write()
    }

    /// For a large change: decisions go on until [`PolicyUpdate::write`].
    fn begin_update(&self) -> PolicyUpdate<'_> {
        let update = self.shared.update.lock().unwrap_or_else(PoisonError::into_inner);
        PolicyUpdate { authenticator: self, update }
    }
}

// No code of a caller runs under either lock, so nothing is half done if one was poisoned.

/// The right to change the policy, while decisions go on.
struct PolicyUpdate<'a> {
    authenticator: &'a Authenticator,
    update: MutexGuard<'a, ()>,
}

impl<'a> PolicyUpdate<'a> {
    /// What is read stays so until this ends: nobody else changes the policy.
    fn read(&self) -> RwLockReadGuard<'_, Policy> {
        self.authenticator.read()
    }

    /// Decisions wait from here on.
    fn write(self) -> PolicyWriteGuard<'a> {
        let policy = self.authenticator.shared.policy.write().unwrap_or_else(PoisonError::into_inner);
        PolicyWriteGuard { policy, _update: self.update }
    }
}

/// The policy under change. Drop what is taken out of it afterwards: decisions wait.
struct PolicyWriteGuard<'a> {
    policy: RwLockWriteGuard<'a, Policy>,
    _update: MutexGuard<'a, ()>,
}

impl Deref for PolicyWriteGuard<'_> {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.policy
    }
}

impl DerefMut for PolicyWriteGuard<'_> {
    fn deref_mut(&mut self) -> &mut Policy {
        &mut self.policy
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("domains", &self.read().domains.len()).finish_non_exhaustive()
    }
}
