//! Requests in, answers out, some of them later: the handler without socket, clock or thread.
//!
//! A face (thread, tokio) gives it what arrived and what time it is, runs the calls that it is handed, and sends what it is
//! told to send. The envelope is whatever the face needs to send an answer back.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use crate::authenticator::{Authenticator, Outcome};
use crate::callback::{Call, Decision};
use crate::reason::Reason;
use crate::zap::{Client, Parsed, Reply};

/// One call of the program's own code, in this handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallId(u64);

/// What to do about a request.
pub(crate) enum Action {
    /// Send [`Engine::reply`].
    Decision,
    /// Run the call, and come back with its answer.
    Run(CallId, Call),
    /// Nothing: it can't be answered.
    Drop,
}

/// The state of one handler.
pub(crate) struct Engine<E> {
    authenticator: Authenticator,
    reply: Reply,
    pending: HashMap<CallId, Pending<E>>,
    deadlines: BTreeSet<(Instant, CallId)>,
    next: u64,
}

/// A request that waits for a call.
struct Pending<E> {
    envelope: E,
    request_id: Vec<u8>,
    client: Client<'static>,
    deadline: Instant,
}

/// An answer that came later than its request.
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

    /// The answer to the request that was received last, where that was [`Action::Decision`].
    pub(crate) fn reply(&self) -> &Reply {
        &self.reply
    }

    /// Takes a request, from its version frame on. `envelope` is asked for only if the answer has to wait.
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
        let client = parsed.request.as_ref().map_or_else(|_| Client::unknown(), Client::of);
        match self.authenticator.decide(&parsed.request, &mut self.reply) {
            Outcome::Decided(reason) => {
                self.authenticator.finalize(&client, reason, &mut self.reply);
                Action::Decision
            }
            Outcome::Ask(call) => {
                let pending = Pending {
                    envelope: envelope(),
                    request_id: parsed.request_id.as_ref().to_vec(),
                    client: client.into_owned(),
                    deadline: now() + self.authenticator.limits().deadline(),
                };
                Action::Run(self.wait(pending), call)
            }
        }
    }

    /// Takes a request that is not decided, for a reason that doesn't lie in it.
    pub(crate) fn refuse<B: AsRef<[u8]>>(&mut self, frames: &[B], reason: Reason) -> Action {
        let Some(parsed) = Parsed::new(frames) else {
            self.authenticator.audit().dropped();
            return Action::Drop;
        };
        let client = parsed.request.as_ref().map_or_else(|_| Client::unknown(), Client::of);
        reason.refuse(&mut self.reply);
        self.authenticator.finalize(&client, reason, &mut self.reply);
        Action::Decision
    }

    fn wait(&mut self, pending: Pending<E>) -> CallId {
        let id = CallId(self.next);
        self.next += 1;
        self.deadlines.insert((pending.deadline, id));
        self.pending.insert(id, pending);
        id
    }

    /// Takes back the answer that was not sent yet.
    pub(crate) fn override_reply(&mut self, reason: Reason) {
        reason.refuse(&mut self.reply);
    }

    /// Takes what came of a call; `None` where the request was answered already, and the result is too late.
    pub(crate) fn finish(&mut self, id: CallId, mut answer: Decision) -> Option<DeferredReply<E>> {
        let pending = self.pending.remove(&id)?;
        self.deadlines.remove(&(pending.deadline, id));
        self.authenticator.finalize(&pending.client, answer.reason, &mut answer.reply);
        Some(DeferredReply { envelope: pending.envelope, request_id: pending.request_id, reply: answer.reply })
    }

    /// When [`expire`](Self::expire) has to be called next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// One request whose call took too long. To be called until it answers `None`.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(CallId, DeferredReply<E>)> {
        let (deadline, id) = *self.deadlines.first()?;
        if deadline > now {
            return None;
        }
        self.finish(id, Decision::refusal(Reason::TimedOut)).map(|late| (id, late))
    }

    /// One request that still waits when the handler stops. To be called until it answers `None`.
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

    fn ask(engine: &mut Engine<&'static str>, envelope: &'static str, now: Instant) -> (CallId, Call) {
        match engine.receive(&PLAIN, || now, || envelope) {
            Action::Run(id, call) => (id, call),
            Action::Decision | Action::Drop => panic!("a callback decides"),
        }
    }

    #[test]
    fn answers_come_in_any_order_each_to_its_own_envelope() {
        let (mut engine, now) = (engine(), Instant::now());
        let (first, first_call) = ask(&mut engine, "first", now);
        let (second, second_call) = ask(&mut engine, "second", now);
        let late = engine.finish(second, second_call.run()).unwrap();
        assert_eq!((late.envelope, late.reply.status()), ("second", Status::Success));
        let late = engine.finish(first, first_call.run()).unwrap();
        assert_eq!((late.envelope, late.request_id.as_slice()), ("first", &b"7"[..]));
        assert_eq!(engine.next_deadline(), None);
    }

    #[test]
    fn a_call_that_takes_too_long_is_put_off_and_its_result_is_discarded() {
        let (mut engine, now) = (engine(), Instant::now());
        let (id, call) = ask(&mut engine, "slow", now);
        let deadline = engine.next_deadline().unwrap();
        assert_eq!(deadline, now + Duration::from_secs(5));
        assert!(engine.expire(deadline - Duration::from_millis(1)).is_none());
        assert_eq!(engine.expire(deadline).unwrap().1.reply.status(), Status::Retry);
        assert!(engine.finish(id, call.run()).is_none(), "a late result lets nobody in");
        assert_eq!(engine.authenticator().counters().calls_timed_out, 1);
    }

    #[test]
    fn whoever_waits_when_the_handler_stops_is_put_off() {
        let (mut engine, now) = (engine(), Instant::now());
        let (id, call) = ask(&mut engine, "waiting", now);
        assert_eq!(engine.cancel_next().unwrap().reply.status(), Status::Retry);
        assert!(engine.cancel_next().is_none());
        assert!(engine.finish(id, call.run()).is_none());
    }
}
