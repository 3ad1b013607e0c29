//! The source of CURVE client keys of one domain.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::certificate;
use crate::error::Result;
use crate::keys::PublicKey;
use crate::policy::call::CurveCallback;

/// Which keys may enter.
pub(crate) enum CurveSource {
    Any,
    Keys(HashSet<PublicKey>),
    Directory(KeyDirectory),
    Callback(Arc<CurveCallback>),
    #[cfg(feature = "tokio")]
    AsyncCallback(Arc<super::call::AsyncCurveCallback>),
}

/// The keys of a directory's certificates, each with its metadata as the reply sends it.
pub(crate) struct KeyDirectory {
    keys: HashMap<PublicKey, Option<Arc<[u8]>>>,
}

/// Whether a source knows a key.
pub(crate) enum Known<'a> {
    No,
    Any,
    Listed {
        metadata: Option<&'a Arc<[u8]>>,
    },
    Ask(&'a Arc<CurveCallback>),
    #[cfg(feature = "tokio")]
    AskAsync(&'a Arc<super::call::AsyncCurveCallback>),
}

impl CurveSource {
    pub(crate) fn look_up(&self, key: &PublicKey) -> Known<'_> {
        match self {
            CurveSource::Any => Known::Any,
            CurveSource::Keys(keys) if keys.contains(key) => Known::Listed { metadata: None },
            CurveSource::Keys(_) => Known::No,
            CurveSource::Directory(directory) => match directory.keys.get(key) {
                Some(metadata) => Known::Listed { metadata: metadata.as_ref() },
                None => Known::No,
            },
            CurveSource::Callback(callback) => Known::Ask(callback),
            #[cfg(feature = "tokio")]
            CurveSource::AsyncCallback(callback) => Known::AskAsync(callback),
        }
    }

    /// Adds one key; answers what decides instead where keys aren't listed.
    pub(crate) fn add(&mut self, key: PublicKey) -> Result<(), &'static str> {
        match self {
            CurveSource::Keys(keys) => {
                keys.insert(key);
                Ok(())
            }
            CurveSource::Directory(directory) => {
                directory.keys.entry(key).or_insert(None);
                Ok(())
            }
            unlisted => Err(unlisted.kind()),
        }
    }

    /// What decides, for an error.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            CurveSource::Any => "allow-any",
            CurveSource::Keys(_) => "a set of keys",
            CurveSource::Directory(_) => "a directory",
            CurveSource::Callback(_) => "a callback",
            #[cfg(feature = "tokio")]
            CurveSource::AsyncCallback(_) => "a callback",
        }
    }

    /// Removes one key; tells whether it was there.
    pub(crate) fn remove(&mut self, key: &PublicKey) -> Result<bool, &'static str> {
        match self {
            CurveSource::Keys(keys) => Ok(keys.remove(key)),
            CurveSource::Directory(directory) => Ok(directory.keys.remove(key).is_some()),
            unlisted => Err(unlisted.kind()),
        }
    }
}

impl KeyDirectory {
    /// Loads every `*.key`; one that can't be read is an error, and nothing is loaded.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let mut keys = HashMap::new();
        for (key, metadata) in certificate::load_directory(path)? {
            let mut encoded = Vec::new();
            metadata.encode(&mut encoded);
            let encoded = (!encoded.is_empty()).then(|| Arc::from(encoded));
            // Two files with one key are one key; metadata that only one of them has is not lost.
            let entry = keys.entry(key).or_insert(None);
            *entry = entry.take().or(encoded);
        }
        Ok(KeyDirectory { keys })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
