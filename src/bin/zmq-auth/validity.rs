//! The validity of a certificate, from its metadata.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use zmq_auth::Metadata;

pub(crate) const NOT_BEFORE: &str = "not-before";
pub(crate) const NOT_AFTER: &str = "not-after";

#[derive(Clone, Copy, Default)]
pub(crate) struct Validity {
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
}

/// The state of a certificate now, as a server sees it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    Valid,
    NotYetValid,
    Expired,
}

impl Validity {
    /// Reads the validity. An error is the one for which a server refuses the file.
    pub(crate) fn of(metadata: &Metadata) -> Result<Self, String> {
        let time = |name| match metadata.get(name) {
            None => Ok(None),
            Some(text) => text
                .parse::<Timestamp>()
                .map(Some)
                .map_err(|_| format!("{name} is not an RFC 3339 time, such as 2026-01-31T00:00:00Z")),
        };
        let (not_before, not_after) = (time(NOT_BEFORE)?, time(NOT_AFTER)?);
        if not_before.zip(not_after).is_some_and(|(from, until)| from > until) {
            return Err("not-after is before not-before".into());
        }
        Ok(Validity { not_before, not_after })
    }

    pub(crate) fn state(&self, now: Timestamp) -> State {
        if self.not_before.is_some_and(|from| now < from) {
            State::NotYetValid
        } else if self.not_after.is_some_and(|until| now > until) {
            State::Expired
        } else {
            State::Valid
        }
    }

    /// The validity in a few words, for people.
    pub(crate) fn words(&self, now: Timestamp) -> String {
        match (self.state(now), self.not_before, self.not_after) {
            (State::NotYetValid, Some(from), Some(until)) => format!("not valid yet: from {from} until {until}"),
            (State::NotYetValid, Some(from), None) => format!("not valid yet: from {from}"),
            (State::Expired, _, Some(until)) => format!("expired {until}"),
            (State::Valid, _, Some(until)) => format!("valid until {until}"),
            _ => "valid".into(),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Valid => "valid",
            State::NotYetValid => "not valid yet",
            State::Expired => "expired",
        })
    }
}

/// A time in RFC 3339, in whole seconds, as in certificates.
pub(crate) fn rfc_3339(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
