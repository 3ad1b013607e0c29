//! The client of a request, without its password: for logs, events and limits.

use std::borrow::Cow;
use std::fmt;

use super::{Credentials, Request};
use crate::address::AddressFrame;
use crate::escape::Escaped;
use crate::keys::PublicKey;

/// The client of a request, as far as it may be recorded.
#[derive(Debug, Clone)]
pub(crate) struct Client<'a> {
    pub(crate) mechanism: Cow<'a, [u8]>,
    pub(crate) domain: Cow<'a, [u8]>,
    pub(crate) address: AddressFrame<'a>,
    pub(crate) identity: Identity<'a>,
}

/// The identity that the client presents.
#[derive(Debug, Clone)]
pub(crate) enum Identity<'a> {
    Nobody,
    User(Cow<'a, [u8]>),
    Key(PublicKey),
    Principal(Cow<'a, [u8]>),
}

impl<'a> Client<'a> {
    pub(crate) fn of(request: &Request<'a>) -> Self {
        Client {
            mechanism: Cow::Borrowed(request.mechanism),
            domain: Cow::Borrowed(request.domain),
            address: request.address.clone(),
            identity: match &request.credentials {
                Credentials::Null | Credentials::Unknown => Identity::Nobody,
                Credentials::Plain { username, .. } => Identity::User(Cow::Borrowed(username)),
                Credentials::Curve(key) => Identity::Key(*key),
                Credentials::Gssapi { principal } => Identity::Principal(Cow::Borrowed(principal)),
            },
        }
    }

    /// The client of a malformed request.
    pub(crate) fn unknown() -> Self {
        let nothing = Cow::Borrowed(&[][..]);
        Client {
            mechanism: nothing.clone(),
            domain: nothing,
            address: AddressFrame::default(),
            identity: Identity::Nobody,
        }
    }

    pub(crate) fn into_owned(self) -> Client<'static> {
        let own = |bytes: Cow<'a, [u8]>| Cow::Owned(bytes.into_owned());
        Client {
            mechanism: own(self.mechanism),
            domain: own(self.domain),
            address: self.address.into_owned(),
            identity: match self.identity {
                Identity::Nobody => Identity::Nobody,
                Identity::User(name) => Identity::User(own(name)),
                Identity::Key(key) => Identity::Key(key),
                Identity::Principal(name) => Identity::Principal(own(name)),
            },
        }
    }
}

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mechanism, domain) = (Escaped(&self.mechanism), Escaped(&self.domain));
        write!(f, "{mechanism} in domain \"{domain}\" from {}", Escaped(&self.address))?;
        match &self.identity {
            Identity::Nobody => Ok(()),
            Identity::User(name) => write!(f, ", user \"{}\"", Escaped(name)),
            Identity::Key(key) => write!(f, ", key \"{key}\""),
            Identity::Principal(name) => write!(f, ", principal \"{}\"", Escaped(name)),
        }
    }
}
