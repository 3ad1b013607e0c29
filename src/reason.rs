//! Why a request was accepted or refused, with the ZAP status and text of each refusal.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::address::AddressRefusal;
use crate::zap::{Malformed, Reply, Status};

/// A keyed hash that distinguishes a password from its replacement, while the process runs. It reveals nothing about the
/// password without the key, which never leaves the process.
pub(crate) type Fingerprint = NonZeroU64;

/// Distinguishes a configured callback from its replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallbackId(u64);

impl CallbackId {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        CallbackId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Every way a decision can end. Only the first six accept the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Null,
    /// The fingerprint is present if connections are tagged.
    Password(Option<Fingerprint>),
    ListedKey,
    AnyKey,
    Principal,
    CallbackAllowed(CallbackId),
    Malformed(Malformed),
    Address(AddressRefusal),
    NullDenied,
    UnknownMechanism,
    NotConfigured,
    WrongPassword,
    UnknownKey,
    NotYetValid,
    Expired,
    TooManyFailures,
    /// By the program.
    Paused,
    UnreadableText,
    CallbackDenied,
    CallbackRetry,
    CallbackFault,
    CallbackPanicked,
    TooManyCalls,
    NeedsRuntime,
    NoThread,
    #[cfg(feature = "argon2")]
    NotHashed,
    TimedOut,
    PolicyChanged,
    Stopping,
    /// The source of pushed credentials hasn't been in contact for too long.
    Stale,
}

impl Reason {
    /// The ZAP status and text. An unknown user and a wrong password share one reason, because they must look the same.
    fn status_and_text(self) -> (Status, &'static str) {
        use Status::{Denied, Fault, Retry, Success};
        match self {
            Reason::Null
            | Reason::Password(_)
            | Reason::ListedKey
            | Reason::AnyKey
            | Reason::Principal
            | Reason::CallbackAllowed(_) => (Success, "OK"),
            Reason::Malformed(Malformed::TooFewFrames) => (Denied, "malformed request: not enough frames"),
            Reason::Malformed(Malformed::Version) => (Denied, "malformed request: unknown ZAP version"),
            Reason::Malformed(Malformed::CredentialFrames) => {
                (Denied, "malformed request: wrong number of credentials frames")
            }
            Reason::Malformed(Malformed::CurveKeySize) => (Denied, "malformed request: a CURVE key has 32 bytes"),
            Reason::Address(AddressRefusal::Denied) => (Denied, "address denied"),
            Reason::Address(AddressRefusal::NotAllowed) => (Denied, "address not allowed"),
            Reason::Address(AddressRefusal::Unreadable) => (Denied, "unreadable address"),
            Reason::NullDenied => (Denied, "NULL denied"),
            Reason::UnknownMechanism => (Denied, "unknown mechanism"),
            Reason::NotConfigured => (Denied, "mechanism not configured for this domain"),
            Reason::WrongPassword => (Denied, "unknown user or wrong password"),
            Reason::UnknownKey => (Denied, "unknown key"),
            Reason::NotYetValid => (Denied, "certificate not valid yet"),
            Reason::Expired => (Denied, "certificate expired"),
            Reason::TooManyFailures => (Retry, "too many failed attempts"),
            Reason::Paused => (Retry, "paused"),
            Reason::UnreadableText => (Denied, "not UTF-8"),
            Reason::CallbackDenied => (Denied, "refused by the callback"),
            Reason::CallbackRetry => (Retry, "try again later"),
            Reason::CallbackFault => (Fault, "callback failed"),
            Reason::CallbackPanicked => (Fault, "callback panicked"),
            Reason::TooManyCalls => (Retry, "too many running callbacks"),
            Reason::NeedsRuntime => (Fault, "an async callback needs AsyncAuthenticator"),
            Reason::NoThread => (Fault, "no thread for the callback"),
            #[cfg(feature = "argon2")]
            Reason::NotHashed => (Fault, "no memory to hash the password"),
            Reason::TimedOut => (Retry, "callback did not return in time"),
            Reason::PolicyChanged => (Retry, "the policy changed meanwhile"),
            Reason::Stopping => (Retry, "the handler is stopping"),
            Reason::Stale => (Retry, "no contact with the source of the credentials"),
        }
    }

    pub(crate) fn evidence(self) -> Evidence {
        match self {
            Reason::Password(Some(fingerprint)) => Evidence::Password(fingerprint),
            Reason::CallbackAllowed(id) => Evidence::Callback(Some(id)),
            _ => Evidence::None,
        }
    }

    /// Writes the refusal for this reason, with its own text.
    pub(crate) fn refuse(self, reply: &mut Reply) {
        let (status, text) = self.status_and_text();
        self.refuse_with(reply, status, Cow::Borrowed(text));
    }

    /// Writes the refusal for this reason, with a callback's text.
    pub(crate) fn refuse_saying(self, reply: &mut Reply, text: Cow<'static, str>) {
        self.refuse_with(reply, self.status_and_text().0, text);
    }

    fn refuse_with(self, reply: &mut Reply, status: Status, text: Cow<'static, str>) {
        // Never called for a reason that accepts; if it were, the client would still be refused.
        let status = if status == Status::Success { Status::Fault } else { status };
        reply.refuse(status, text);
    }
}

/// What a later check needs to know about how a client was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Evidence {
    None,
    Password(Fingerprint),
    /// The callback, if known: a connection's tag doesn't name it.
    Callback(Option<CallbackId>),
}

/// The client that a later check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recheck {
    /// A client that is about to be accepted: its handshake isn't finished.
    Handshake,
    Connected,
}

impl Evidence {
    /// Whether this evidence still holds for a source that is this callback. A callback isn't run again. During a handshake,
    /// its verdict holds only while the same callback decides; for a connected client, while any callback does.
    pub(crate) fn holds_for(self, callback: CallbackId) -> Result<(), Reason> {
        match self {
            Evidence::Callback(asked) if asked.is_none_or(|asked| asked == callback) => Ok(()),
            _ => Err(Reason::PolicyChanged),
        }
    }
}
