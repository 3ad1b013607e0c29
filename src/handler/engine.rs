//! The handler's protocol, without socket, clock or thread: requests in, replies out, some of them later.
//!
//! A front end (thread, tokio) feeds it requests and the time, runs the calls that it returns, and sends its replies. The
//! envelope is whatever the front end needs to send a reply back.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::authenticator::{Attempt, Authenticator, Outcome};
use crate::callback::{Call, Decision};
use crate::fair_queue::Claim;
use crate::reason::Reason;
use crate::zap::{Client, Parsed, Reply};

/// Identifies a call within one handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallId(pub(super) u64);

/// What to do about a request.
pub(crate) enum Action {
    /// Send [`Engine::reply`].
    SendReply,
    /// Run the call, and pass its decision to [`Engine::finish`].
    Run(NewCall),
    /// Nothing: it can't be replied to.
    Drop,
}

/// A call that a front end must run, and the client that it is for.
pub(crate) struct NewCall {
    pub(crate) id: CallId,
    pub(crate) call: Call,
    pub(crate) claim: Claim,
}

/// The state of one handler.
pub(crate) struct Engine<E> {
    authenticator: Authenticator,
    reply: Reply,
    pending: HashMap<CallId, Pending<E>>,
    deadlines: BTreeSet<(Instant, CallId)>,
    next: u64,
}

/// A request that waits for the decision of a call.
struct Pending<E> {
    envelope: E,
    request_id: Vec<u8>,
    client: Client<'static>,
    attempt: Option<Box<Attempt>>,
    deadline: Instant,
}

/// A reply that was deferred until a call decided.
pub(crate) struct DeferredReply<E> {
    pub(crate) envelope: E,
    pub(crate) request_id: Vec<u8>,
    pub(crate) reply: Reply,
}

impl<E> Engine<E> {
    pub(crate) fn new(authenticator: Authenticator) -> Self {
        Engine { authenticator, reply: Reply::new(), pending: HashMap::new(), deadlines: BTreeSet::new(), next: 0 }
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        &self.authenticator
    }

    /// The reply to the last request, if that was [`Action::SendReply`].
    pub(crate) fn reply(&self) -> &Reply {
        &self.reply
    }

    /// Processes a request, from its version frame on. `envelope` is called only if the reply is deferred.
    pub(crate) fn receive<B: AsRef<[u8]>>(
        &mut self,
        frames: &[B],
        now: impl FnOnce() -> Instant,
        envelope: impl FnOnce() -> E,
    ) -> Action {
        let Some(parsed) = Parsed::new(frames) else {
            self.authenticator.audit().dropped();
            return Action::Drop;
        };
        let outcome = self.authenticator.decide(&parsed.request, &mut self.reply);
        let client = parsed.request.as_ref().map_or_else(|_| Client::unknown(), Client::of);
        match outcome {
            Outcome::Decided(reason, attempt) => {
                self.authenticator.finalize(&client, reason, &mut self.reply, attempt);
                Action::SendReply
            }
            Outcome::Ask(call, attempt) => {
                let claim = self.authenticator.claim(&client, now());
                let pending = Pending {
                    envelope: envelope(),
                    request_id: parsed.request_id.as_ref().to_vec(),
                    client: client.into_owned(),
                    attempt,
                    deadline: claim.deadline,
                };
                Action::Run(NewCall { id: self.wait(pending), call, claim })
            }
        }
    }

    /// Refuses a request without consulting the policy, for example while shutting down.
    pub(crate) fn refuse<B: AsRef<[u8]>>(&mut self, frames: &[B], reason: Reason) -> Action {
        let Some(parsed) = Parsed::new(frames) else {
            self.authenticator.audit().dropped();
            return Action::Drop;
        };
        let client = parsed.request.as_ref().map_or_else(|_| Client::unknown(), Client::of);
        reason.refuse(&mut self.reply);
        self.authenticator.finalize(&client, reason, &mut self.reply, None);
        Action::SendReply
    }

    fn wait(&mut self, pending: Pending<E>) -> CallId {
        let id = CallId(self.next);
        self.next += 1;
        self.deadlines.insert((pending.deadline, id));
        self.pending.insert(id, pending);
        id
    }

    /// Replaces the reply, which hasn't been sent yet, by a refusal.
    pub(crate) fn override_reply(&mut self, reason: Reason) {
        reason.refuse(&mut self.reply);
    }

    /// Processes the decision of a call; `None` if it is too late, because the request was already replied to.
    pub(crate) fn finish(&mut self, id: CallId, decision: Decision) -> Option<DeferredReply<E>> {
        let pending = self.pending.remove(&id)?;
        self.deadlines.remove(&(pending.deadline, id));
        let reply = self.authenticator.finalize_call(&pending.client, decision, pending.attempt);
        Some(DeferredReply { envelope: pending.envelope, request_id: pending.request_id, reply })
    }

    /// When [`expire`](Self::expire) must be called next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Refuses the next request whose deadline has passed, for the reason that `overdue` returns. Call it until it returns
    /// `None`.
    pub(crate) fn expire(&mut self, now: Instant, overdue: impl FnOnce(CallId) -> Reason) -> Option<DeferredReply<E>> {
        let (deadline, id) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.finish(id, Decision::refusal(overdue(id)))
    }

    /// Refuses the next request that waits for a call, because the handler stops. Call it until it returns `None`.
    pub(crate) fn cancel_next(&mut self) -> Option<DeferredReply<E>> {
        let (_, id) = *self.deadlines.first()?;
        self.finish(id, Decision::refusal(Reason::Stopping))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zap::Status;
    use std::time::Duration;

    const PLAIN: [&[u8]; 8] = [b"1.0", b"7", b"d", b"127.0.0.1", b"", b"PLAIN", b"alice", b"secret"];

    fn engine() -> Engine<&'static str> {
        let authenticator = Authenticator::new();
        authenticator.configure_plain_callback("d", |_, _, _| true).unwrap();
        Engine::new(authenticator)
    }

    fn ask(engine: &mut Engine<&'static str>, envelope: &'static str, now: Instant) -> NewCall {
        match engine.receive(&PLAIN, || now, || envelope) {
            Action::Run(call) => call,
            Action::SendReply | Action::Drop => panic!("a callback decides"),
        }
    }

    #[test]
    fn decisions_come_in_any_order_each_to_its_own_envelope() {
        let (mut engine, now) = (engine(), Instant::now());
        let first = ask(&mut engine, "first", now);
        let second = ask(&mut engine, "second", now);
        let late = engine.finish(second.id, second.call.run(&second.claim)).unwrap();
        assert_eq!((late.envelope, late.reply.status()), ("second", Status::Success));
        let late = engine.finish(first.id, first.call.run(&first.claim)).unwrap();
        assert_eq!((late.envelope, late.request_id.as_slice()), ("first", &b"7"[..]));
        assert_eq!(engine.next_deadline(), None);
    }

    #[test]
    fn a_slow_call_gets_retry_and_its_late_decision_is_discarded() {
        let (mut engine, now) = (engine(), Instant::now());
        let NewCall { id, call, claim } = ask(&mut engine, "slow", now);
        let deadline = engine.next_deadline().unwrap();
        assert_eq!(deadline, now + Duration::from_secs(5));
        assert!(engine.expire(deadline - Duration::from_millis(1), |_| Reason::TimedOut).is_none());
        let late = engine.expire(deadline, |overdue| if overdue == id { Reason::TimedOut } else { Reason::Stopping });
        assert_eq!(late.unwrap().reply.status(), Status::Retry);
        assert!(engine.finish(id, call.run(&claim)).is_none(), "a late result lets nobody in");
        assert_eq!(engine.authenticator().counters().calls_timed_out, 1);
    }

    #[test]
    fn requests_waiting_when_the_handler_stops_get_retry() {
        let (mut engine, now) = (engine(), Instant::now());
        let NewCall { id, call, claim } = ask(&mut engine, "waiting", now);
        assert_eq!(engine.cancel_next().unwrap().reply.status(), Status::Retry);
        assert!(engine.cancel_next().is_none());
        assert!(engine.finish(id, call.run(&claim)).is_none());
    }
}
