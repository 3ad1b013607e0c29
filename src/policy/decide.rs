//! The decision: a request and the policy as it stands, to a reply or to a call of the program's own code.
//!
//! The order is fixed: (version and credentials were checked by the parser,) address, mechanism, domain, credentials.

use std::time::{Instant, SystemTime};

use zeroize::Zeroizing;

use super::call::Call;
use super::curve::Known;
use super::plain::{PlainSource, credential};
use super::{Peer, Policy, Reason};
use crate::keys::PublicKey;
use crate::store::Checked;
use crate::zap::{Credentials, Reply, Request, Subject};

/// Decided, with the reply written; or a question that the driver has to put.
pub(crate) enum Outcome {
    Decided(Reason),
    Ask(Call),
}

impl Policy {
    pub(crate) fn decide(&self, request: &Request<'_>, reply: &mut Reply) -> Outcome {
        let outcome = self.judge(request, reply);
        if let Err(reason) = outcome {
            reason.refuse(reply);
            return Outcome::Decided(reason);
        }
        outcome.unwrap_or_else(Outcome::Decided)
    }

    fn judge(&self, request: &Request<'_>, reply: &mut Reply) -> Result<Outcome, Reason> {
        self.addresses.check(request.address).map_err(Reason::Address)?;
        if let Some(attempts) = &self.attempts {
            attempts.check(&Subject::of(request), Instant::now())?;
        }
        match &request.credentials {
            // RFC 27 asks for nothing but the address of a NULL client.
            Credentials::Null => {
                reply.allow(b"");
                Ok(Outcome::Decided(Reason::Null))
            }
            Credentials::Plain { username, password } => self.plain(request, username, password, reply),
            Credentials::Curve(key) => self.curve(request, key, reply),
            Credentials::Gssapi { principal } => self.gssapi(request, principal, reply),
            Credentials::Unknown => Err(Reason::UnknownMechanism),
        }
    }

    fn plain(
        &self,
        request: &Request<'_>,
        username: &[u8],
        password: &[u8],
        reply: &mut Reply,
    ) -> Result<Outcome, Reason> {
        match self.domains.find(request.domain, |sources| sources.plain.as_ref()) {
            None => Err(Reason::NotConfigured),
            Some(PlainSource::Table(table)) if table.holds(username, password) => {
                reply.allow(username);
                if self.marks.is_some() {
                    reply.set_credential(credential(password));
                }
                Ok(Outcome::Decided(Reason::Password))
            }
            Some(PlainSource::Table(_)) => Err(Reason::WrongPassword),
            Some(PlainSource::File { file, .. }) => match file.check(username, password) {
                Checked::Right => {
                    reply.allow(username);
                    if self.marks.is_some() {
                        reply.set_credential(credential(password));
                    }
                    Ok(Outcome::Decided(Reason::Password))
                }
                Checked::Wrong => Err(Reason::WrongPassword),
                #[cfg(feature = "argon2")]
                Checked::Hash(table) => Ok(Outcome::Ask(Call::Verify {
                    table,
                    username: username.into(),
                    password: Zeroizing::new(password.to_vec()),
                })),
            },
            Some(PlainSource::Callback(callback)) => Ok(Outcome::Ask(Call::Plain {
                callback: callback.clone(),
                username: text(username)?.to_owned(),
                password: Zeroizing::new(text(password)?.to_owned()),
                peer: peer(request)?,
            })),
            #[cfg(feature = "tokio")]
            Some(PlainSource::AsyncCallback(callback)) => Ok(Outcome::Ask(Call::PlainAsync {
                callback: callback.clone(),
                username: text(username)?.to_owned(),
                password: text(password)?.into(),
                peer: peer(request)?,
            })),
        }
    }

    fn curve(&self, request: &Request<'_>, key: &PublicKey, reply: &mut Reply) -> Result<Outcome, Reason> {
        let source = self.domains.find(request.domain, |sources| sources.curve.as_ref());
        let (reason, info) = match source.ok_or(Reason::NotConfigured)?.look_up(key) {
            Known::No => return Err(Reason::UnknownKey),
            Known::Any => (Reason::AnyKey, None),
            Known::Listed { info } => (Reason::ListedKey, info),
            Known::Ask(callback) => {
                let (callback, user_id) = (callback.clone(), self.user_id.clone());
                return Ok(Outcome::Ask(Call::Curve { callback, key: *key, peer: peer(request)?, user_id }));
            }
            #[cfg(feature = "tokio")]
            Known::AskAsync(callback) => {
                let (callback, user_id) = (callback.clone(), self.user_id.clone());
                return Ok(Outcome::Ask(Call::CurveAsync { callback, key: *key, peer: peer(request)?, user_id }));
            }
        };
        if let Some(validity) = info.as_ref().and_then(|info| info.validity.as_ref()) {
            validity.check(SystemTime::now())?;
        }
        if let Some(map) = &self.user_id {
            let map = map.clone();
            return Ok(Outcome::Ask(Call::UserId { map, key: *key, info, reason }));
        }
        reply.allow_key(key);
        if let Some(info) = info {
            reply.add_encoded(&info.metadata);
        }
        Ok(Outcome::Decided(reason))
    }

    fn gssapi(&self, request: &Request<'_>, principal: &[u8], reply: &mut Reply) -> Result<Outcome, Reason> {
        self.domains.find(request.domain, |sources| sources.gssapi.as_ref()).ok_or(Reason::NotConfigured)?;
        reply.allow(principal);
        Ok(Outcome::Decided(Reason::Principal))
    }
}

fn text(bytes: &[u8]) -> Result<&str, Reason> {
    str::from_utf8(bytes).map_err(|_| Reason::UnreadableText)
}

fn peer(request: &Request<'_>) -> Result<Peer, Reason> {
    Peer::new(request.domain, request.address).ok_or(Reason::UnreadableText)
}
