//! Whom a decision was about, for the log; owned while a callback is under way. Never a password.

use std::borrow::Cow;

use super::{Credentials, Request};
use crate::keys::PublicKey;

/// The client of one request, as far as it may be written down.
#[derive(Debug, Clone)]
pub(crate) struct Subject<'a> {
    pub(crate) mechanism: Cow<'a, [u8]>,
    pub(crate) domain: Cow<'a, [u8]>,
    pub(crate) address: Cow<'a, [u8]>,
    pub(crate) who: Who<'a>,
}

/// What the client says it is.
#[derive(Debug, Clone)]
pub(crate) enum Who<'a> {
    Nobody,
    User(Cow<'a, [u8]>),
    Key(PublicKey),
    Principal(Cow<'a, [u8]>),
}

impl<'a> Subject<'a> {
    pub(crate) fn of(request: &Request<'a>) -> Self {
        Subject {
            mechanism: Cow::Borrowed(request.mechanism),
            domain: Cow::Borrowed(request.domain),
            address: Cow::Borrowed(request.address),
            who: match &request.credentials {
                Credentials::Null | Credentials::Unknown => Who::Nobody,
                Credentials::Plain { username, .. } => Who::User(Cow::Borrowed(username)),
                Credentials::Curve(key) => Who::Key(*key),
                Credentials::Gssapi { principal } => Who::Principal(Cow::Borrowed(principal)),
            },
        }
    }

    /// The subject of a request whose frames can't be told apart.
    pub(crate) fn unknown() -> Self {
        let nothing = Cow::Borrowed(&[][..]);
        Subject { mechanism: nothing.clone(), domain: nothing.clone(), address: nothing, who: Who::Nobody }
    }

    pub(crate) fn into_owned(self) -> Subject<'static> {
        let own = |bytes: Cow<'a, [u8]>| Cow::Owned(bytes.into_owned());
        Subject {
            mechanism: own(self.mechanism),
            domain: own(self.domain),
            address: own(self.address),
            who: match self.who {
                Who::Nobody => Who::Nobody,
                Who::User(name) => Who::User(own(name)),
                Who::Key(key) => Who::Key(key),
                Who::Principal(name) => Who::Principal(own(name)),
            },
        }
    }
}
