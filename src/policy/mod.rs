//! Who is let in: the rules, and the handle that changes them while handshakes are decided.

mod address;
mod attempts;
mod authenticator;
mod call;
mod curve;
mod decide;
mod domain;
mod explain;
mod finder;
mod limits;
mod marks;
mod peer;
mod plain;
mod reason;
mod rules;
mod sources;
mod validity;
mod verdict;

pub(crate) use address::PeerAddress;
pub use address::{IpcCredentials, IpcRule};
pub use authenticator::Authenticator;
pub(crate) use authenticator::Policy;
pub(crate) use call::{Answer, Call};
pub(crate) use decide::Outcome;
pub(crate) use domain::check as check_domain;
pub use explain::{Explanation, MatchedDomain};
pub(crate) use marks::PROPERTY as MARK_PROPERTY;
pub use peer::Peer;
pub(crate) use plain::{PasswordTable, StoredPassword, Users, problem as plain_problem};
pub(crate) use reason::Reason;
pub use sources::CURVE_ALLOW_ANY;
pub(crate) use validity::Validity;
pub use verdict::Verdict;
