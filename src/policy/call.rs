//! A decision that needs the program's own code. It is run elsewhere, with no lock held, and can't let in by accident.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::marks::BY_CALLBACK;
use super::{Peer, Reason, Verdict};
use crate::keys::PublicKey;
use crate::store::KeyInfo;
use crate::zap::Reply;

pub(crate) type CurveCallback = dyn Fn(&PublicKey, &Peer) -> Verdict + Send + Sync;
pub(crate) type PlainCallback = dyn Fn(&str, &str, &Peer) -> Verdict + Send + Sync;
pub(crate) type UserIdMap = dyn Fn(&PublicKey) -> String + Send + Sync;

/// What an async callback answers in the end.
#[cfg(feature = "tokio")]
pub(crate) type FutureVerdict = std::pin::Pin<Box<dyn Future<Output = Verdict> + Send>>;
#[cfg(feature = "tokio")]
pub(crate) type AsyncCurveCallback = dyn Fn(PublicKey, Peer) -> FutureVerdict + Send + Sync;
#[cfg(feature = "tokio")]
pub(crate) type AsyncPlainCallback = dyn Fn(String, crate::keys::Password, Peer) -> FutureVerdict + Send + Sync;

/// The question, with everything that it takes to ask it.
pub(crate) enum Call {
    Curve {
        callback: Arc<CurveCallback>,
        key: PublicKey,
        peer: Peer,
        user_id: Option<Arc<UserIdMap>>,
    },
    Plain {
        callback: Arc<PlainCallback>,
        username: String,
        password: Zeroizing<String>,
        peer: Peer,
    },
    #[cfg(feature = "tokio")]
    CurveAsync {
        callback: Arc<AsyncCurveCallback>,
        key: PublicKey,
        peer: Peer,
        user_id: Option<Arc<UserIdMap>>,
    },
    #[cfg(feature = "tokio")]
    PlainAsync {
        callback: Arc<AsyncPlainCallback>,
        username: String,
        password: crate::keys::Password,
        peer: Peer,
    },
    /// A password that has to be hashed to be compared.
    #[cfg(feature = "argon2")]
    Verify {
        table: Arc<super::plain::PasswordTable>,
        username: Box<[u8]>,
        password: Zeroizing<Vec<u8>>,
    },
    /// The client is let in, but the program names it.
    UserId {
        map: Arc<UserIdMap>,
        key: PublicKey,
        info: Option<Arc<KeyInfo>>,
        reason: Reason,
    },
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reason: Reason,
    pub(crate) reply: Reply,
}

impl Answer {
    pub(crate) fn refusal(reason: Reason) -> Self {
        let mut reply = Reply::new();
        reason.refuse(&mut reply);
        Answer { reason, reply }
    }
}

impl Call {
    /// Asks, in this thread. A panic is a fault of this one request.
    pub(crate) fn run(self) -> Answer {
        let caught = catch_unwind(AssertUnwindSafe(move || self.ask()));
        caught.unwrap_or_else(|payload| {
            // Dropping a payload may panic in its turn.
            std::mem::forget(payload);
            Answer::refusal(Reason::CallbackPanicked)
        })
    }

    /// Whether only the tokio face can ask.
    pub(crate) fn needs_runtime(&self) -> bool {
        #[cfg(feature = "tokio")]
        return matches!(self, Call::CurveAsync { .. } | Call::PlainAsync { .. });
        #[cfg(not(feature = "tokio"))]
        false
    }

    /// Asks, where the callback is async; to be run in a task, whose end by a panic is a fault of this one request.
    #[cfg(feature = "tokio")]
    pub(crate) async fn run_async(self) -> Answer {
        match self {
            Call::CurveAsync { callback, key, peer, user_id } => {
                let verdict = callback(key, peer).await;
                conclude(verdict, || name(&key, user_id.as_deref()))
            }
            Call::PlainAsync { callback, username, password, peer } => {
                let (user_id, shown) = (username.clone(), password.clone());
                let verdict = callback(username, password, peer).await;
                let shown = str::from_utf8(shown.as_bytes()).unwrap_or_default();
                conclude(redacted(verdict, shown), || user_id)
            }
            call @ (Call::Curve { .. } | Call::Plain { .. } | Call::UserId { .. }) => call.run(),
            #[cfg(feature = "argon2")]
            call @ Call::Verify { .. } => call.run(),
        }
    }

    fn ask(self) -> Answer {
        match self {
            Call::Curve { callback, key, peer, user_id } => {
                conclude(callback(&key, &peer), || name(&key, user_id.as_deref()))
            }
            #[cfg(feature = "tokio")]
            Call::CurveAsync { .. } | Call::PlainAsync { .. } => Answer::refusal(Reason::NeedsRuntime),
            Call::Plain { callback, username, password, peer } => {
                let verdict = callback(&username, &password, &peer);
                conclude(redacted(verdict, &password), || username)
            }
            #[cfg(feature = "argon2")]
            Call::Verify { table, username, password } => verify(&table, &username, &password),
            Call::UserId { map, key, info, reason } => {
                let mut reply = Reply::new();
                reply.allow(map(&key).as_bytes());
                if let Some(info) = info {
                    reply.add_encoded(&info.metadata);
                }
                Answer { reason, reply }
            }
        }
    }
}

#[cfg(feature = "argon2")]
fn verify(table: &super::plain::PasswordTable, username: &[u8], password: &[u8]) -> Answer {
    use crate::store::Verified;
    match crate::store::verify(table, username, password) {
        Verified::Right => {
            let mut reply = Reply::new();
            reply.allow(username);
            if let Some(credential) = table.credential(username) {
                reply.set_credential(credential);
            }
            Answer { reason: Reason::Password, reply }
        }
        Verified::Wrong => Answer::refusal(Reason::WrongPassword),
        Verified::Busy => Answer::refusal(Reason::TooManyCalls),
        Verified::Failed => Answer::refusal(Reason::NotHashed),
    }
}

fn name(key: &PublicKey, map: Option<&UserIdMap>) -> String {
    map.map_or_else(|| key.to_string(), |map| map(key))
}

/// A reason that quotes the password would be logged: it is left out, also where it is escaped as `{:?}` does.
fn redacted(verdict: Verdict, password: &str) -> Verdict {
    let escaped = Zeroizing::new(password.escape_debug().to_string());
    let quotes = |text: &str| text.contains(password) || text.contains(escaped.as_str());
    match verdict {
        Verdict::Deny(text) if quotes(&text) => Verdict::from(false),
        Verdict::Fault(text) if quotes(&text) => Verdict::Fault(Cow::Borrowed("callback failed")),
        verdict => verdict,
    }
}

fn conclude(verdict: Verdict, user_id: impl FnOnce() -> String) -> Answer {
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
            reply.set_credential(BY_CALLBACK);
            Reason::CallbackAllowed
        }
        Verdict::AllowAs { user_id, metadata } => {
            reply.allow(user_id.as_bytes());
            reply.add_metadata(&metadata);
            reply.set_credential(BY_CALLBACK);
            Reason::CallbackAllowed
        }
    };
    Answer { reason, reply }
}
