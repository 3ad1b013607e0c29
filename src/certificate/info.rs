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
