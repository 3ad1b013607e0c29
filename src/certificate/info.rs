//! What a certificate says about its key: encoded metadata and a validity period.

use std::sync::Arc;

use super::validity::Validity;
use crate::metadata::Metadata;

/// What a certificate says of its key, where it says anything.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyInfo {
    /// As the reply sends it.
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

    /// `None` where there is nothing to say: most keys of a large store cost no allocation.
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
