//! Sources by domain: the request's own domain first, then `"*"`, for each mechanism separately.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::MatchedDomain;
use crate::curve::CurveSource;
use crate::error::{Error, Result};
use crate::null::NullSource;
use crate::plain::PlainSource;

/// The name that covers every domain without a source of its own.
const ANY: &str = "*";
/// libzmq's limit for `ZMQ_ZAP_DOMAIN`.
const MAX_LENGTH: usize = 255;

/// The sources of one domain, at most one for each mechanism.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) null: Option<NullSource>,
    pub(crate) plain: Option<PlainSource>,
    pub(crate) curve: Option<CurveSource>,
    pub(crate) gssapi: Option<()>,
}

/// All domains.
#[derive(Default)]
pub(crate) struct Domains {
    named: HashMap<Box<[u8]>, Sources, RandomState>,
    any: Sources,
}

/// Checks a domain: 1 to 255 bytes, taken as they are.
pub(crate) fn check(domain: &str) -> Result<()> {
    match domain.len() {
        1..=MAX_LENGTH => Ok(()),
        length => Err(Error::Domain { length }),
    }
}

impl Domains {
    /// The source that decides a request of this domain.
    pub(crate) fn find<T>(&self, domain: &[u8], pick: impl Fn(&Sources) -> Option<&T>) -> Option<&T> {
        self.named.get(domain).and_then(&pick).or_else(|| pick(&self.any))
    }

    /// Whether the domain's own source decides or that of `"*"`; `None` if neither has one.
    pub(crate) fn matched<T>(&self, domain: &[u8], pick: impl Fn(&Sources) -> Option<&T>) -> Option<MatchedDomain> {
        let own = self.named.get(domain).and_then(&pick).map(|_| MatchedDomain::Exact);
        own.or_else(|| pick(&self.any).map(|_| MatchedDomain::Any))
    }

    /// The sources of a domain, for changing; created if there are none yet.
    pub(crate) fn entry(&mut self, domain: &str) -> &mut Sources {
        if domain == ANY {
            return &mut self.any;
        }
        self.named.entry(domain.as_bytes().into()).or_default()
    }

    /// The sources of exactly this domain.
    pub(crate) fn get(&self, domain: &str) -> Option<&Sources> {
        if domain == ANY { Some(&self.any) } else { self.named.get(domain.as_bytes()) }
    }

    /// The sources of a configured domain, for changing.
    pub(crate) fn get_mut(&mut self, domain: &str) -> Option<&mut Sources> {
        if domain == ANY { Some(&mut self.any) } else { self.named.get_mut(domain.as_bytes()) }
    }

    /// Removes the domain with all its sources.
    pub(crate) fn remove(&mut self, domain: &str) -> Option<Sources> {
        let removed =
            if domain == ANY { Some(std::mem::take(&mut self.any)) } else { self.named.remove(domain.as_bytes()) };
        removed.filter(|sources| !sources.is_empty())
    }

    /// The sources of every domain.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Sources> {
        self.named.values().chain([&self.any])
    }

    pub(crate) fn len(&self) -> usize {
        self.named.len() + usize::from(!self.any.is_empty())
    }
}

impl Sources {
    pub(crate) fn is_empty(&self) -> bool {
        self.null.is_none() && self.plain.is_none() && self.curve.is_none() && self.gssapi.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_counted_and_the_star_where_it_has_a_source() {
        let mut domains = Domains::default();
        assert_eq!(domains.len(), 0);
        assert!(domains.remove(ANY).is_none(), "it has no source");
        domains.entry("a").gssapi = Some(());
        assert_eq!(domains.len(), 1);
        domains.entry(ANY).gssapi = Some(());
        domains.entry("b").gssapi = Some(());
        assert_eq!(domains.len(), 3);
        assert!(domains.remove("a").is_some() && domains.remove("a").is_none());
        assert!(domains.remove(ANY).is_some() && domains.remove(ANY).is_none());
        assert_eq!(domains.len(), 1);
    }
}
