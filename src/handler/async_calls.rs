//! Async callbacks under way, each in a task of its own.

use std::collections::HashMap;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::engine::CallId;
use crate::callback::{Call, Decision};
use crate::foreign_code::drop_payload;
use crate::reason::Reason;

/// Cancelled when dropped.
#[derive(Default)]
pub(super) struct AsyncCalls {
    set: JoinSet<Decision>,
    calls: HashMap<Id, CallId>,
    handles: HashMap<CallId, AbortHandle>,
}

impl AsyncCalls {
    pub(super) fn spawn(&mut self, id: CallId, call: Call, at_once: usize) -> Result<(), Reason> {
        if self.set.len() >= at_once {
            return Err(Reason::TooManyCalls);
        }
        let handle = self.set.spawn(call.run_async());
        self.calls.insert(handle.id(), id);
        self.handles.insert(id, handle);
        Ok(())
    }

    pub(super) fn cancel(&mut self, id: CallId) {
        if let Some(handle) = self.handles.get(&id) {
            handle.abort();
        }
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
        Some((id, answer))
    }
}
