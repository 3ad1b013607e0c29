//! Async callbacks under way, each in a task of its own. Which begins is up to their [`Schedule`].

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

/// Cancelled when dropped.
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

    /// Begins those that waited and may begin now.
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

    /// The deadline of a request has passed: cancels its callback. Why it is refused; `None` if no callback of these is
    /// under way for it.
    pub(super) fn overdue(&mut self, id: CallId, limits: &CallLimits, audit: &Audit) -> Option<Reason> {
        let reason = self.schedule.overdue(id, limits.async_at_once(), limits.deadline(), audit);
        self.handles.get(&id)?.abort();
        Some(reason)
    }

    /// The next decision; waits for ever if there is no task.
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

    /// Cancels all, and waits for those that come back to the runtime.
    pub(super) async fn shutdown(&mut self) {
        self.set.shutdown().await;
    }

    fn ended(&mut self, ended: Result<(Id, Decision), JoinError>) -> Option<(CallId, Decision)> {
        let (task, answer) = match ended {
            Ok((task, answer)) => (task, answer),
            // Cancelled by its deadline: answered already. The result of `finish` is nothing then.
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
