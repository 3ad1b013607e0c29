//! What a certificate says about its key: encoded metadata and a validity period.

use std::sync::Arc;

use super::parse::{NOT_AFTER, NOT_BEFORE, equals_known};
use super::validity::Validity;
use crate::metadata::Metadata;

/// What a certificate says about its key, beyond the key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyInfo {
    /// Encoded as in a ZAP reply.
    pub(crate) metadata: Box<[u8]>,
    pub(crate) validity: Option<Validity>,
}

impl KeyInfo {
    /// The value of a name in the encoded metadata.
    pub(crate) fn value(&self, wanted: &str) -> Option<&[u8]> {
        let mut rest: &[u8] = &self.metadata;
        loop {
            let (&length, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked(length.into())?;
            let (length, after) = after.split_first_chunk()?;
            let (value, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            if name == wanted.as_bytes() {
                return Some(value);
            }
            rest = after;
        }
    }

    /// As [`of`](Self::of), for metadata that isn't from a certificate: what the parser would refuse is refused here, with its name.
    pub(crate) fn of_unread(metadata: &Metadata) -> Result<Option<Arc<Self>>, (&str, &'static str)> {
        for (name, _) in metadata.iter() {
            if equals_known(name.as_bytes()).is_some_and(|known| known != name) {
                return Err((
                    name,
                    "too similar to not-before, not-after or the name of a key: correct it, or choose another name",
                ));
            }
        }
        Self::of(metadata).map_err(|problem| {
            let name = if problem.starts_with(NOT_BEFORE) { NOT_BEFORE } else { NOT_AFTER };
            (name, problem)
        })
    }

    /// `None` if there is nothing to keep, so that most keys of a large store cost no allocation.
    pub(crate) fn of(metadata: &Metadata) -> Result<Option<Arc<Self>>, &'static str> {
        if metadata.is_empty() {
            return Ok(None);
        }
        let validity = Validity::of(metadata)?;
        let mut encoded = Vec::new();
        metadata.encode(&mut encoded);
        let says_something = !encoded.is_empty() || validity.is_some();
        Ok(says_something.then(|| Arc::new(KeyInfo { metadata: encoded.into(), validity })))
    }
}
