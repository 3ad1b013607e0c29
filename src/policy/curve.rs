//! The source of CURVE client keys of one domain.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::certificate;
use crate::error::{Error, Result};
use crate::keys::PublicKey;
use crate::policy::call::CurveCallback;
use crate::policy::validity::Validity;

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
    keys: HashMap<PublicKey, Option<Arc<KeyInfo>>>,
}

/// What a certificate says beside its key.
pub(crate) struct KeyInfo {
    /// As the reply sends it.
    pub(crate) metadata: Box<[u8]>,
    pub(crate) validity: Option<Validity>,
}

/// Whether a source knows a key.
pub(crate) enum Known<'a> {
    No,
    Any,
    Listed {
        info: Option<&'a Arc<KeyInfo>>,
    },
    Ask(&'a Arc<CurveCallback>),
    #[cfg(feature = "tokio")]
    AskAsync(&'a Arc<super::call::AsyncCurveCallback>),
}

impl CurveSource {
    pub(crate) fn look_up(&self, key: &PublicKey) -> Known<'_> {
        match self {
            CurveSource::Any => Known::Any,
            CurveSource::Keys(keys) if keys.contains(key) => Known::Listed { info: None },
            CurveSource::Keys(_) => Known::No,
            CurveSource::Directory(directory) => match directory.keys.get(key) {
                Some(info) => Known::Listed { info: info.as_ref() },
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
        for (file, key, metadata) in certificate::load_directory(path)? {
            let validity =
                Validity::of(&metadata).map_err(|problem| Error::Certificate { path: file, line: None, problem })?;
            let mut encoded = Vec::new();
            metadata.encode(&mut encoded);
            let info = (!encoded.is_empty()).then(|| Arc::new(KeyInfo { metadata: encoded.into(), validity }));
            // Two files with one key are one key, by the first that says more than the key.
            let entry = keys.entry(key).or_insert(None);
            *entry = entry.take().or(info);
        }
        Ok(KeyDirectory { keys })
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}
