//! A call that decides a request: a callback of the program's, or the hash of a password. It runs without any lock held.

use std::borrow::Cow;
#[cfg(feature = "tokio")]
use std::pin::Pin;

use super::Verdict;
use crate::foreign_code::{Panicked, contain};
use crate::reason::{CallbackId, Reason};
use crate::zap::Reply;

/// The call, with everything that it needs.
pub(crate) struct Call(Work);

enum Work {
    Sync(Box<dyn FnOnce() -> Decision + Send>),
    #[cfg(feature = "tokio")]
    Async(Box<dyn FnOnce() -> FutureDecision + Send>),
}

#[cfg(feature = "tokio")]
type FutureDecision = Pin<Box<dyn Future<Output = Decision> + Send>>;

/// How a request is answered, and why.
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

    /// A call that only the tokio front end can run.
    #[cfg(feature = "tokio")]
    pub(crate) fn new_async<F>(work: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Decision> + Send + 'static,
    {
        Call(Work::Async(Box::new(|| Box::pin(work()))))
    }

    /// Runs the call in this thread. A panic refuses this one request with 500.
    pub(crate) fn run(self) -> Decision {
        let work = match self.0 {
            Work::Sync(work) => work,
            #[cfg(feature = "tokio")]
            Work::Async(_) => return Decision::refusal(Reason::NeedsRuntime),
        };
        contain(work).unwrap_or_else(|Panicked| Decision::refusal(Reason::CallbackPanicked))
    }

    /// Whether only the tokio front end can run it.
    pub(crate) fn needs_runtime(&self) -> bool {
        #[cfg(feature = "tokio")]
        return matches!(self.0, Work::Async(_));
        #[cfg(not(feature = "tokio"))]
        false
    }

    /// Runs the call in a task of its own: if it panics, the task ends, and its request is refused with 500.
    #[cfg(feature = "tokio")]
    pub(crate) async fn run_async(self) -> Decision {
        match self.0 {
            Work::Async(work) => work().await,
            Work::Sync(_) => self.run(),
        }
    }
}

/// Turns the verdict of a PLAIN callback into a decision. Text that the callback made at run time may quote the password in
/// whatever form, so it is shown nowhere; static text is.
pub(crate) fn conclude_plain(verdict: Verdict, callback: CallbackId, user_id: impl FnOnce() -> String) -> Decision {
    let verdict = match verdict {
        Verdict::Deny(Cow::Owned(_)) => Verdict::from(false),
        Verdict::Fault(Cow::Owned(_)) => Verdict::Fault(Cow::Borrowed("callback failed")),
        verdict => verdict,
    };
    conclude(verdict, callback, user_id)
}

/// Turns a callback's verdict into a decision. `user_id` is called where the verdict doesn't name the client.
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
