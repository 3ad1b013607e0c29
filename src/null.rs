//! NULL access by domain: whether clients that present nothing but their address are accepted.

use std::sync::Arc;

use crate::callback::{Call, CallbackId, Lookup, Peer, Verdict, conclude};
use crate::reason::{Evidence, Reason};
use crate::zap::Request;

pub(crate) type NullCallback = dyn Fn(&Peer) -> Verdict + Send + Sync;
#[cfg(feature = "tokio")]
pub(crate) type AsyncNullCallback = dyn Fn(Peer) -> crate::callback::FutureVerdict + Send + Sync;

/// Whether a domain accepts NULL clients, for
/// [`Authenticator::configure_null`](crate::Authenticator::configure_null).
///
/// ```
/// use zmq_auth::{Authenticator, NullAccess};
///
/// let auth = Authenticator::new();
/// auth.configure_null("*", NullAccess::Deny)?; // no NULL clients anywhere …
/// auth.configure_null("health", NullAccess::Allow)?; // … but at this socket
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NullAccess {
    /// Every NULL client that the address rules allow is accepted.
    Allow,
    /// Every NULL client is refused (400).
    Deny,
}

/// The source that decides about a domain's NULL clients.
pub(crate) enum NullSource {
    Access(NullAccess),
    Callback(Arc<NullCallback>, CallbackId),
    #[cfg(feature = "tokio")]
    AsyncCallback(Arc<AsyncNullCallback>, CallbackId),
}

impl NullSource {
    pub(crate) fn check(&self, request: &Request<'_>) -> Lookup {
        if let NullSource::Access(access) = self {
            return match access {
                NullAccess::Allow => Lookup::Accept(Reason::Null, None),
                NullAccess::Deny => Lookup::Refuse(Reason::NullDenied),
            };
        }
        let Some(peer) = Peer::of(request) else { return Lookup::Refuse(Reason::UnreadableText) };
        match self {
            NullSource::Access(_) => Lookup::Refuse(Reason::NullDenied),
            NullSource::Callback(callback, id) => {
                let (callback, id) = (callback.clone(), *id);
                Lookup::Ask(Call::new(move || conclude(callback(&peer), id, String::new)))
            }
            #[cfg(feature = "tokio")]
            NullSource::AsyncCallback(callback, id) => {
                let (callback, id) = (callback.clone(), *id);
                Lookup::Ask(Call::new_async(move || async move { conclude(callback(peer).await, id, String::new) }))
            }
        }
    }

    /// Whether a client that was accepted on this evidence would be accepted again.
    pub(crate) fn recheck(&self, evidence: Evidence) -> Result<(), Reason> {
        match self {
            NullSource::Access(NullAccess::Allow) => Ok(()),
            NullSource::Access(NullAccess::Deny) => Err(Reason::NullDenied),
            NullSource::Callback(_, id) => evidence.holds_for(*id),
            #[cfg(feature = "tokio")]
            NullSource::AsyncCallback(_, id) => evidence.holds_for(*id),
        }
    }

    /// The kind of source, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            NullSource::Access(NullAccess::Allow) => "allow",
            NullSource::Access(NullAccess::Deny) => "deny",
            NullSource::Callback(..) => "a callback",
            #[cfg(feature = "tokio")]
            NullSource::AsyncCallback(..) => "an async callback",
        }
    }
}
