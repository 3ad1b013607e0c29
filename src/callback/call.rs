//! A call that decides a request: one of the program's callbacks, or the hashing of a password. It runs without any lock held.

use std::borrow::Cow;
#[cfg(feature = "tokio")]
use std::pin::Pin;

use super::Verdict;
use crate::fair_queue::Claim;
use crate::foreign_code::{Panicked, contain};
use crate::reason::{CallbackId, Reason};
use crate::zap::Reply;

/// The call, with all that it needs.
pub(crate) struct Call(Work);

enum Work {
    Sync(Box<dyn FnOnce() -> Decision + Send>),
    #[cfg(feature = "argon2")]
    Elsewhere(Box<dyn FnOnce(Claim, Completion) -> Result<(), Reason> + Send>),
    #[cfg(feature = "tokio")]
    Async(Box<dyn FnOnce() -> FutureDecision + Send>),
}

#[cfg(feature = "tokio")]
type FutureDecision = Pin<Box<dyn Future<Output = Decision> + Send>>;

/// Receives the decision of a call that runs elsewhere; dropped unused if the call expires before it starts.
pub(crate) type Completion = Box<dyn FnOnce(Decision) + Send>;

/// The reply to a request, and its reason.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) reason: Reason,
    pub(crate) reply: Reply,
}

impl Decision {
    pub(crate) fn refusal(reason: Reason) -> Self {
        let mut reply = Reply::new();
        reason.refuse(&mut reply);
        Decision { reason, reply }
    }
}

impl Call {
    pub(crate) fn new(work: impl FnOnce() -> Decision + Send + 'static) -> Self {
        Call(Work::Sync(Box::new(work)))
    }

    /// A call that has its own threads. `start` may refuse it.
    #[cfg(feature = "argon2")]
    pub(crate) fn elsewhere(start: impl FnOnce(Claim, Completion) -> Result<(), Reason> + Send + 'static) -> Self {
        Call(Work::Elsewhere(Box::new(start)))
    }

    /// A call that only the tokio front end can run.
    #[cfg(feature = "tokio")]
    pub(crate) fn new_async<F>(work: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Decision> + Send + 'static,
    {
        Call(Work::Async(Box::new(|| Box::pin(work()))))
    }

    /// Runs the call on this thread, or waits for it. A panic refuses only this request, with 500.
    #[cfg_attr(not(feature = "argon2"), expect(unused_variables, reason = "nothing runs elsewhere"))]
    pub(crate) fn run(self, claim: &Claim) -> Decision {
        match self.0 {
            Work::Sync(work) => run_contained(work),
            #[cfg(feature = "argon2")]
            Work::Elsewhere(start) => {
                let (sender, decision) = std::sync::mpsc::sync_channel(1);
                let completion = Box::new(move |decision| drop(sender.send(decision)));
                let started = start(claim.clone(), completion);
                let decided = started.and_then(|()| decision.recv().map_err(|_| Reason::TooManyCalls));
                decided.unwrap_or_else(Decision::refusal)
            }
            #[cfg(feature = "tokio")]
            Work::Async(_) => Decision::refusal(Reason::NeedsRuntime),
        }
    }

    /// Whether the call has its own threads, and so needs none of the handler's.
    pub(crate) fn runs_elsewhere(&self) -> bool {
        #[cfg(feature = "argon2")]
        return matches!(self.0, Work::Elsewhere(_));
        #[cfg(not(feature = "argon2"))]
        false
    }

    /// Starts a call that has its own threads; `completion` receives its decision. Any other call runs here.
    pub(crate) fn start(self, claim: &Claim, completion: Completion) -> Result<(), Reason> {
        match self.0 {
            #[cfg(feature = "argon2")]
            Work::Elsewhere(start) => start(claim.clone(), completion),
            _ => {
                completion(self.run(claim));
                Ok(())
            }
        }
    }

    /// Whether only the tokio front end can run it.
    pub(crate) fn needs_runtime(&self) -> bool {
        #[cfg(feature = "tokio")]
        return matches!(self.0, Work::Async(_));
        #[cfg(not(feature = "tokio"))]
        false
    }

    /// Runs the call in its own task: if it panics, the task ends, and its request is refused with 500.
    #[cfg(feature = "tokio")]
    pub(crate) async fn run_async(self, claim: Claim) -> Decision {
        match self.0 {
            Work::Async(work) => work().await,
            _ => self.run(&claim),
        }
    }
}

/// Runs the work; a panic refuses only this request, with 500.
pub(crate) fn run_contained(work: impl FnOnce() -> Decision) -> Decision {
    contain(work).unwrap_or_else(|Panicked| Decision::refusal(Reason::CallbackPanicked))
}

/// Turns the verdict of a PLAIN callback into a decision. Text that the callback made at run time could quote the password in
/// some form, so it is never shown; static text is.
pub(crate) fn conclude_plain(verdict: Verdict, callback: CallbackId, user_id: impl FnOnce() -> String) -> Decision {
    let verdict = match verdict {
        Verdict::Deny(Cow::Owned(_)) => Verdict::from(false),
        Verdict::Fault(Cow::Owned(_)) => Verdict::Fault(Cow::Borrowed("callback failed")),
        verdict => verdict,
    };
    conclude(verdict, callback, user_id)
}

/// Turns a callback's verdict into a decision. `user_id` is called if the verdict doesn't set one.
pub(crate) fn conclude(verdict: Verdict, callback: CallbackId, user_id: impl FnOnce() -> String) -> Decision {
    let mut reply = Reply::new();
    let mut refuse = |reason: Reason, text: Cow<'static, str>| {
        reason.refuse_saying(&mut reply, text);
        reason
    };
    let reason = match verdict {
        Verdict::Deny(text) => refuse(Reason::CallbackDenied, text),
        Verdict::Fault(text) => refuse(Reason::CallbackFault, text),
        Verdict::Retry => {
            Reason::CallbackRetry.refuse(&mut reply);
            Reason::CallbackRetry
        }
        Verdict::Allow => {
            reply.allow(user_id().as_bytes());
            Reason::CallbackAllowed(callback)
        }
        Verdict::AllowAs { user_id, metadata } => {
            reply.allow(user_id.as_bytes());
            reply.add_metadata(&metadata);
            Reason::CallbackAllowed(callback)
        }
    };
    Decision { reason, reply }
}
