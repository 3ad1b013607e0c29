//! Explanations: which rules decide a request, and why.

use std::fmt;
use std::path::{Path, PathBuf};

use super::decide::Limit;
use super::{Authenticator, Outcome};
use crate::curve::CurveSource;
use crate::escape::Escaped;
use crate::null::NullSource;
use crate::plain::PlainSource;
use crate::zap::{Credentials, Parsed, Reply, Request};

/// Why a request would get the reply that it would, from [`Authenticator::explain`].
///
/// ```
/// use zmq_auth::{Authenticator, MatchedDomain};
///
/// let auth = Authenticator::new();
/// auth.allow(["10.0.0.0/8"])?;
/// auth.configure_plain("*", [("alice", "correct horse")])?;
/// let request: [&[u8]; 8] = [b"1.0", b"1", b"shop", b"10.0.0.7", b"", b"PLAIN", b"alice", b"wrong"];
/// let why = auth.explain(&request).unwrap();
/// assert_eq!(why.status, Some(400));
/// assert_eq!(why.address_rule.as_deref(), Some("allow 10.0.0.0/8"));
/// assert_eq!((why.domain, why.source), (Some(MatchedDomain::Any), Some("a table of users")));
/// assert_eq!(
///     why.to_string(),
///     "400: unknown user or wrong password (allow 10.0.0.0/8; PLAIN in domain \"shop\", by \"*\": a table of users)"
/// );
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The ZAP status code; `None` if a callback or a hashed password would decide, which isn't run.
    pub status: Option<u16>,
    /// Why, in words.
    pub reason: String,
    /// The address rule that covers the client, such as `deny 10.0.0.0/8`.
    pub address_rule: Option<String>,
    /// Whether the address rules alone refuse the client.
    pub address_refused: bool,
    /// Whose source decides: the domain's own, or that of `"*"`. `None` if there is none (NULL is then accepted).
    pub domain: Option<MatchedDomain>,
    /// What the source is, such as `a directory`.
    pub source: Option<&'static str>,
    /// The directory or file of the source, if it follows one.
    pub store: Option<PathBuf>,
    /// Whether the source has the client's key, or a user of that name; `None` if it keeps no list. It shows the operator
    /// whether the user or the password is wrong; clients are never told.
    pub listed: Option<bool>,
    // For `Display`.
    request: String,
}

/// Which domain's source decides a request.
///
/// ```
/// assert_ne!(zmq_auth::MatchedDomain::Exact, zmq_auth::MatchedDomain::Any);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchedDomain {
    /// The domain's own.
    Exact,
    /// That of `"*"`.
    Any,
}

impl Authenticator {
    /// Explains how a request would be answered now and which rules decide. It doesn't answer, count, log or run any
    /// callback. `frames` as for [`handle_zap_message`](Self::handle_zap_message); `None` for fewer than two.
    pub fn explain<B: AsRef<[u8]>>(&self, frames: &[B]) -> Option<Explanation> {
        let parsed = Parsed::new(frames)?;
        let mut reply = Reply::new();
        let (status, reason) = match self.decide_with(&parsed.request, Limit::Check, &mut reply) {
            Outcome::Decided(..) => (Some(reply.status().number()), reply.text().to_owned()),
            Outcome::Ask(..) => (None, "a callback or a password hash would decide; neither is run here".to_owned()),
        };
        let mut explanation = Explanation {
            status,
            reason,
            address_rule: None,
            address_refused: false,
            domain: None,
            source: None,
            store: None,
            listed: None,
            request: String::new(),
        };
        if let Ok(request) = &parsed.request {
            self.find_rules(request, &mut explanation);
        }
        Some(explanation)
    }

    fn find_rules(&self, request: &Request<'_>, explanation: &mut Explanation) {
        let policy = self.read();
        explanation.address_rule = policy.addresses.explain(&request.address);
        explanation.address_refused = policy.addresses.check(&request.address).is_err();
        explanation.request = format!("{} in domain \"{}\"", Escaped(request.mechanism), Escaped(request.domain));
        let domains = &policy.domains;
        match &request.credentials {
            Credentials::Plain { username, .. } => {
                let source = domains.find(request.domain, |sources| sources.plain.as_ref());
                explanation.listed = source.and_then(|source| source.lists(username));
                explanation.store = source.and_then(PlainSource::path).map(Path::to_owned);
            }
            Credentials::Curve(key) => {
                let source = domains.find(request.domain, |sources| sources.curve.as_ref());
                explanation.listed = source.and_then(|source| source.lists(key));
                explanation.store = source.and_then(CurveSource::path).map(Path::to_owned);
            }
            _ => {}
        }
        (explanation.domain, explanation.source) = match request.credentials {
            Credentials::Plain { .. } => (
                domains.matched(request.domain, |sources| sources.plain.as_ref()),
                domains.find(request.domain, |sources| sources.plain.as_ref()).map(PlainSource::kind),
            ),
            Credentials::Curve(_) => (
                domains.matched(request.domain, |sources| sources.curve.as_ref()),
                domains.find(request.domain, |sources| sources.curve.as_ref()).map(CurveSource::kind),
            ),
            Credentials::Gssapi { .. } => {
                let matched = domains.matched(request.domain, |sources| sources.gssapi.as_ref());
                (matched, matched.map(|_| "Kerberos"))
            }
            Credentials::Null => (
                domains.matched(request.domain, |sources| sources.null.as_ref()),
                domains.find(request.domain, |sources| sources.null.as_ref()).map(NullSource::kind),
            ),
            Credentials::Unknown => (None, None),
        };
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}: {}", self.reason)?,
            None => f.write_str(&self.reason)?,
        }
        if self.request.is_empty() {
            return Ok(());
        }
        write!(f, " ({}; {}", self.address_rule.as_deref().unwrap_or("no address rule covers it"), self.request)?;
        match self.domain {
            Some(MatchedDomain::Exact) => f.write_str(", by its own source")?,
            Some(MatchedDomain::Any) => f.write_str(", by \"*\"")?,
            None => {}
        }
        match self.source {
            Some(source) => write!(f, ": {source})"),
            None => f.write_str(")"),
        }
    }
}
