//! The program's own code in a decision: what callbacks receive, what they return, and how they are run.

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

/// What an async callback returns in the end.
#[cfg(feature = "tokio")]
pub(crate) type FutureVerdict = std::pin::Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// What a source of credentials says about a client.
pub(crate) enum Lookup {
    /// Accepted; with what the client's certificate says, if anything.
    Accept(Reason, Option<Arc<KeyInfo>>),
    /// As `Accept`, with the name of the client.
    AcceptAs(Reason, Option<Arc<KeyInfo>>, Box<str>),
    Refuse(Reason),
    /// A call decides, which has to be run elsewhere.
    Ask(Call),
}
