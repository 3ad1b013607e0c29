//! A certificate's validity period: `not-before` and `not-after` in its metadata.

use std::time::SystemTime;

use jiff::Timestamp;

use super::parse::{NOT_AFTER, NOT_BEFORE};
use crate::metadata::Metadata;
use crate::reason::Reason;

/// The times that a certificate names, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
}

impl Validity {
    /// Parses RFC 3339 times, such as `2026-12-31T23:59:59Z`; `None` for a certificate without any. A time that can't be
    /// parsed is an error: treating it as "always" would accept a client that should be excluded.
    pub(crate) fn of(metadata: &Metadata) -> Result<Option<Self>, &'static str> {
        let time = |name, problem| match metadata.get(name) {
            None => Ok(None),
            Some(text) => text.parse::<Timestamp>().map(Some).map_err(|_| problem),
        };
        let not_before = time(NOT_BEFORE, "not-before is not an RFC 3339 time, such as 2026-01-31T00:00:00Z")?;
        let not_after = time(NOT_AFTER, "not-after is not an RFC 3339 time, such as 2026-01-31T00:00:00Z")?;
        if not_before.zip(not_after).is_some_and(|(from, until)| from > until) {
            return Err("not-after is before not-before");
        }
        Ok((not_before.is_some() || not_after.is_some()).then_some(Validity { not_before, not_after }))
    }

    pub(crate) fn check(&self, now: SystemTime) -> Result<(), Reason> {
        // A clock past the year 9999 is wrong: refuse, as expired.
        let now = Timestamp::try_from(now).map_err(|_| Reason::Expired)?;
        if self.not_before.is_some_and(|from| now < from) {
            return Err(Reason::NotYetValid);
        }
        if self.not_after.is_some_and(|until| now > until) {
            return Err(Reason::Expired);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn of(pairs: &[(&str, &str)]) -> Result<Option<Validity>, &'static str> {
        let mut metadata = Metadata::default();
        for (name, value) in pairs {
            metadata.insert(*name, *value).unwrap();
        }
        Validity::of(&metadata)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn both_ends_are_included() {
        let validity = of(&[("not-before", "1970-01-01T00:01:40Z"), ("not-after", "1970-01-01T01:03:20+01:00")]);
        let validity = validity.unwrap().unwrap();
        assert_eq!(validity.check(at(99)), Err(Reason::NotYetValid));
        assert_eq!(validity.check(at(100)), Ok(()));
        assert_eq!(validity.check(at(200)), Ok(()));
        assert_eq!(validity.check(at(201)), Err(Reason::Expired));
    }

    #[test]
    fn one_end_is_enough_and_none_is_none() {
        assert_eq!(of(&[("name", "alice")]), Ok(None));
        let until = of(&[("not-after", "1970-01-01T00:03:20Z")]).unwrap().unwrap();
        assert_eq!((until.check(at(0)), until.check(at(201))), (Ok(()), Err(Reason::Expired)));
        let from = of(&[("not-before", "1970-01-01T00:03:20Z")]).unwrap().unwrap();
        assert_eq!((from.check(at(0)), from.check(at(201))), (Err(Reason::NotYetValid), Ok(())));
    }

    #[test]
    fn an_invalid_time_never_means_always() {
        for text in ["", "tomorrow", "2026-01-31", "2026-01-31T00:00:00", "2026-13-01T00:00:00Z", "1760000000"] {
            assert!(of(&[("not-after", text)]).is_err(), "{text:?}");
            assert!(of(&[("not-before", text)]).is_err(), "{text:?}");
        }
        assert!(of(&[("not-before", "2027-01-01T00:00:00Z"), ("not-after", "2026-01-01T00:00:00Z")]).is_err());
        let moment = of(&[("not-before", "1970-01-01T00:01:40Z"), ("not-after", "1970-01-01T00:01:40Z")]);
        assert_eq!(moment.unwrap().unwrap().check(at(100)), Ok(()), "a moment is none the less a time");
    }
}
