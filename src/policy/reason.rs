//! Why a request was answered as it was.

use std::borrow::Cow;

use super::address::AddressRefusal;
use crate::zap::{Malformed, Reply, Status};

/// Each way that a decision can end. Only the first six let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Null,
    Password,
    ListedKey,
    AnyKey,
    Principal,
    CallbackAllowed,
    Malformed(Malformed),
    Address(AddressRefusal),
    UnknownMechanism,
    NotConfigured,
    WrongPassword,
    UnknownKey,
    NotYetValid,
    Expired,
    TooManyFailures,
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
    Stopping,
}

impl Reason {
    /// The status and text of a refusal. An unknown user and a wrong password are one reason: they must read the same.
    fn answer(self) -> (Status, &'static str) {
        use Status::{Denied, Fault, Retry, Success};
        match self {
            Reason::Null
            | Reason::Password
            | Reason::ListedKey
            | Reason::AnyKey
            | Reason::Principal
            | Reason::CallbackAllowed => (Success, "OK"),
            Reason::Malformed(Malformed::TooFewFrames) => (Denied, "malformed request: not enough frames"),
            Reason::Malformed(Malformed::Version) => (Denied, "malformed request: unknown ZAP version"),
            Reason::Malformed(Malformed::CredentialFrames) => {
                (Denied, "malformed request: wrong number of credentials frames")
            }
            Reason::Malformed(Malformed::CurveKeySize) => (Denied, "malformed request: a CURVE key has 32 bytes"),
            Reason::Address(AddressRefusal::Denied) => (Denied, "address denied"),
            Reason::Address(AddressRefusal::NotAllowed) => (Denied, "address not allowed"),
            Reason::Address(AddressRefusal::Unreadable) => (Denied, "address not understood"),
            Reason::UnknownMechanism => (Denied, "unknown mechanism"),
            Reason::NotConfigured => (Denied, "mechanism not configured for this domain"),
            Reason::WrongPassword => (Denied, "unknown user or wrong password"),
            Reason::UnknownKey => (Denied, "unknown key"),
            Reason::NotYetValid => (Denied, "certificate not valid yet"),
            Reason::Expired => (Denied, "certificate expired"),
            Reason::TooManyFailures => (Retry, "too many failed attempts"),
            Reason::UnreadableText => (Denied, "not UTF-8"),
            Reason::CallbackDenied => (Denied, "refused by the callback"),
            Reason::CallbackRetry => (Retry, "try again later"),
            Reason::CallbackFault => (Fault, "callback failed"),
            Reason::CallbackPanicked => (Fault, "callback panicked"),
            Reason::TooManyCalls => (Retry, "too many callbacks under way"),
            Reason::NeedsRuntime => (Fault, "an async callback needs AsyncAuthenticator"),
            Reason::NoThread => (Fault, "no thread for the callback"),
            #[cfg(feature = "argon2")]
            Reason::NotHashed => (Fault, "no memory to hash the password"),
            Reason::TimedOut => (Retry, "callback did not answer in time"),
            Reason::Stopping => (Retry, "the handler is stopping"),
        }
    }

    /// Writes a refusal for this reason, in its own words.
    pub(crate) fn refuse(self, reply: &mut Reply) {
        let (status, text) = self.answer();
        self.refuse_with(reply, status, Cow::Borrowed(text));
    }

    /// Writes a refusal for this reason, in a callback's words.
    pub(crate) fn refuse_saying(self, reply: &mut Reply, text: Cow<'static, str>) {
        self.refuse_with(reply, self.answer().0, text);
    }

    fn refuse_with(self, reply: &mut Reply, status: Status, text: Cow<'static, str>) {
        // A reason that lets in has no business here; were it to come, it would not let in.
        let status = if status == Status::Success { Status::Fault } else { status };
        reply.refuse(status, text);
    }
}
