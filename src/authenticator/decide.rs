//! The decision about a well-formed request: address, failure limit, mechanism, domain, credentials, in this order.

use std::time::Instant;

use super::throttle::Attempt;
use super::{Outcome, Policy};
use crate::callback::Lookup;
use crate::reason::Reason;
use crate::zap::{Client, Credentials, Reply, Request};

/// Whether the failure limit is only asked, or an attempt is reserved.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Check,
    Reserve,
}

impl Policy {
    pub(super) fn decide(&self, request: &Request<'_>, limit: Limit, reply: &mut Reply) -> Outcome {
        let mut attempt = None;
        let reason = match self.look_up(request, limit, &mut attempt) {
            Lookup::Accept(reason, info) => {
                match &request.credentials {
                    Credentials::Plain { username, .. } => reply.allow(username),
                    Credentials::Curve(key) => reply.allow_key(key),
                    Credentials::Gssapi { principal } => reply.allow(principal),
                    Credentials::Null | Credentials::Unknown => reply.allow(b""),
                }
                if let Some(info) = info {
                    reply.add_encoded(&info.metadata);
                }
                reason
            }
            Lookup::AcceptAs(reason, info, user_id) => {
                reply.allow(user_id.as_bytes());
                if let Some(info) = info {
                    reply.add_encoded(&info.metadata);
                }
                reason
            }
            Lookup::Refuse(reason) => {
                reason.refuse(reply);
                reason
            }
            Lookup::Ask(call) => return Outcome::Ask(call, attempt),
        };
        Outcome::Decided(reason, attempt)
    }

    fn look_up(&self, request: &Request<'_>, limit: Limit, attempt: &mut Option<Box<Attempt>>) -> Lookup {
        if let Err(refusal) = self.addresses.check(&request.address) {
            return Lookup::Refuse(Reason::Address(refusal));
        }
        if !self.paused.is_empty() && self.paused.has(&Client::of(request)) {
            return Lookup::Refuse(Reason::Paused);
        }
        if let Some(failure_limiter) = &self.failure_limiter {
            let (client, now) = (Client::of(request), Instant::now());
            let admitted = match limit {
                Limit::Check => failure_limiter.check(&client, now).map(|()| None),
                Limit::Reserve => failure_limiter.reserve(&client, now),
            };
            match admitted {
                Ok(reserved) => *attempt = reserved,
                Err(reason) => return Lookup::Refuse(reason),
            }
        }
        let found = match &request.credentials {
            // RFC 27 asks for nothing but the address of a NULL client, unless a domain is configured otherwise.
            Credentials::Null => {
                let source = self.domains.find(request.domain, |sources| sources.null.as_ref());
                Some(source.map_or(Lookup::Accept(Reason::Null, None), |source| source.check(request)))
            }
            Credentials::Plain { username, password } => {
                let source = self.domains.find(request.domain, |sources| sources.plain.as_ref());
                source.map(|source| source.check(request, username, password, self.tags.is_some()))
            }
            Credentials::Curve(key) => {
                let source = self.domains.find(request.domain, |sources| sources.curve.as_ref());
                source.map(|source| source.check(request, key, &self.user_id))
            }
            Credentials::Gssapi { .. } => {
                let source = self.domains.find(request.domain, |sources| sources.gssapi.as_ref());
                source.map(|()| Lookup::Accept(Reason::Principal, None))
            }
            Credentials::Unknown => Some(Lookup::Refuse(Reason::UnknownMechanism)),
        };
        found.unwrap_or(Lookup::Refuse(Reason::NotConfigured))
    }
}
