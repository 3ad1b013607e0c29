//! Callbacks: what they receive, what they return, and how they are run.

mod call;
mod peer;
mod verdict;

pub(crate) use crate::reason::CallbackId;
pub(crate) use call::{Call, Decision, conclude, conclude_plain};
#[cfg(feature = "argon2")]
pub(crate) use call::{Completion, run_contained};
pub use peer::Peer;
pub use verdict::Verdict;

use std::sync::Arc;

use crate::certificate::KeyInfo;
use crate::reason::Reason;

/// What an async callback eventually returns.
#[cfg(feature = "tokio")]
pub(crate) type FutureVerdict = std::pin::Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// The answer of a source of credentials about a client.
pub(crate) enum Lookup {
    /// Accepted, with the content of the client's certificate, if any.
    Accept(Reason, Option<Arc<KeyInfo>>),
    /// As `Accept`, with the client's user id.
    AcceptAs(Reason, Option<Arc<KeyInfo>>, Box<str>),
    Refuse(Reason),
    /// A call decides, and must be run elsewhere.
    Ask(Call),
}
