//! Running async callbacks, each in its own task. Their [`Schedule`] decides which one starts.

use std::collections::HashMap;
use std::time::Instant;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::engine::{CallId, NewCall};
use super::schedule::{Admission, Schedule};
use crate::audit::Audit;
use crate::authenticator::CallLimits;
use crate::callback::Decision;
use crate::foreign_code::drop_payload;
use crate::reason::Reason;

/// The callbacks are cancelled when this is dropped.
pub(super) struct AsyncCalls {
    set: JoinSet<Decision>,
    calls: HashMap<Id, CallId>,
    handles: HashMap<CallId, AbortHandle>,
    schedule: Schedule,
    at_once: usize,
}

impl AsyncCalls {
    pub(super) fn new() -> Self {
        let (calls, handles) = (HashMap::new(), HashMap::new());
        AsyncCalls { set: JoinSet::new(), calls, handles, schedule: Schedule::new(), at_once: 1 }
    }

    /// As [`Pool::submit`](super::pool::Pool::submit).
    pub(super) fn submit(&mut self, call: NewCall, at_once: usize) -> Result<(), (CallId, Reason)> {
        self.at_once = at_once;
        match self.schedule.admit(call, at_once, Instant::now()) {
            Admission::Begin(call) => self.spawn(call),
            Admission::Wait => {}
            Admission::Refuse(id) => return Err((id, Reason::TooManyCalls)),
        }
        Ok(())
    }

    /// Starts waiting callbacks that may start now.
    pub(super) fn run_waiting(&mut self, at_once: usize) {
        self.at_once = at_once;
        while let Some(call) = self.schedule.next(at_once, Instant::now()) {
            self.spawn(call);
        }
    }

    fn spawn(&mut self, call: NewCall) {
        let NewCall { id, call, claim } = call;
        let handle = self.set.spawn(call.run_async(claim));
        self.calls.insert(handle.id(), id);
        self.handles.insert(id, handle);
    }

    /// Called when the deadline of a request has passed: cancels its callback and returns why it is refused; `None` if none
    /// of these callbacks runs for it.
    pub(super) fn overdue(&mut self, id: CallId, limits: &CallLimits, audit: &Audit) -> Option<Reason> {
        let reason = self.schedule.overdue(id, limits.async_at_once(), limits.deadline(), audit);
        self.handles.get(&id)?.abort();
        Some(reason)
    }

    /// The next decision; waits forever if there is no task.
    pub(super) async fn next(&mut self) -> (CallId, Decision) {
        loop {
            match self.set.join_next_with_id().await {
                Some(ended) => {
                    if let Some(answer) = self.ended(ended) {
                        return answer;
                    }
                }
                None => std::future::pending().await,
            }
        }
    }

    pub(super) fn try_next(&mut self) -> Option<(CallId, Decision)> {
        loop {
            let ended = self.set.try_join_next_with_id()?;
            if let Some(answer) = self.ended(ended) {
                return Some(answer);
            }
        }
    }

    /// Cancels all, and waits for those that return to the runtime.
    pub(super) async fn shutdown(&mut self) {
        self.set.shutdown().await;
    }

    fn ended(&mut self, ended: Result<(Id, Decision), JoinError>) -> Option<(CallId, Decision)> {
        let (task, answer) = match ended {
            Ok((task, answer)) => (task, answer),
            // Cancelled at its deadline, and already refused: `finish` will ignore this.
            Err(error) => {
                let task = error.id();
                if let Ok(payload) = error.try_into_panic() {
                    drop_payload(payload);
                }
                (task, Decision::refusal(Reason::CallbackPanicked))
            }
        };
        let id = self.calls.remove(&task)?;
        self.handles.remove(&id);
        self.schedule.ended(id, self.at_once, Instant::now());
        Some((id, answer))
    }
}
