//! The values that a callback may return.

use std::borrow::Cow;
use std::fmt;

use crate::metadata::Metadata;

/// A callback's decision about one client.
///
/// `bool` and `Result<V, E>` convert to it: `true` accepts, `false` refuses, and an `Err` is a
/// [`Fault`](Verdict::Fault), so that `?` in a callback never accepts anybody.
///
/// ```
/// use zmq_auth::{Authenticator, Verdict};
///
/// let auth = Authenticator::new();
/// auth.configure_plain_callback("shop", |user, password, _peer| {
///     match (user, password) {
///         ("alice", "correct horse") => Verdict::Allow,
///         ("alice", _) => Verdict::Deny("wrong password".into()),
///         _ => Verdict::Retry,
///     }
/// })?;
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Verdict {
    /// 200: accepted, with the default user id (the user name; or the Z85 key, or what
    /// [`curve_user_id`](crate::Authenticator::curve_user_id) makes of it).
    Allow,
    /// 200: accepted with this user id, and with this metadata on every message from the client.
    AllowAs {
        /// The `User-Id` of the client's messages. One with a NUL byte refuses the client with 500: libzmq would cut it there.
        user_id: String,
        /// More properties of the client's messages.
        metadata: Metadata,
    },
    /// 400: refused, with a reason for the log and the reply. The client is told only the code, and doesn't retry.
    Deny(Cow<'static, str>),
    /// 300: not now. The client isn't told, and retries after `ZMQ_HANDSHAKE_IVL` (30 s by default).
    Retry,
    /// 500: refused because something failed, with a reason for the log. For the client, as 400.
    Fault(Cow<'static, str>),
}

impl From<bool> for Verdict {
    fn from(allowed: bool) -> Self {
        if allowed { Verdict::Allow } else { Verdict::Deny(Cow::Borrowed("refused by the callback")) }
    }
}

impl<V, E> From<Result<V, E>> for Verdict
where
    V: Into<Verdict>,
    E: fmt::Display,
{
    fn from(result: Result<V, E>) -> Self {
        match result {
            Ok(verdict) => verdict.into(),
            Err(error) => Verdict::Fault(Cow::Owned(error.to_string())),
        }
    }
}
