//! The source of CURVE client keys of one domain.

use std::collections::HashSet;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::keys::PublicKey;
use crate::policy::call::CurveCallback;
use crate::store::{KeyDirectory, KeyInfo, Keys, ReloadObserver};

pub(crate) type KeySet = HashSet<PublicKey, RandomState>;

/// Which keys may enter.
pub(crate) enum CurveSource {
    Any,
    Keys(KeySet),
    /// Read once.
    Directory(Keys),
    /// A directory that may change; with whoever is told of it.
    Store {
        keys: KeyDirectory,
        _observer: Arc<ReloadObserver>,
    },
    Callback(Arc<CurveCallback>),
    #[cfg(feature = "tokio")]
    AsyncCallback(Arc<super::call::AsyncCurveCallback>),
}

/// Whether a source knows a key.
pub(crate) enum Known<'a> {
    No,
    Any,
    Listed {
        info: Option<Arc<KeyInfo>>,
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
            CurveSource::Directory(keys) => keys.get(key).cloned().map_or(Known::No, |info| Known::Listed { info }),
            CurveSource::Store { keys, .. } => keys.look_up(key).map_or(Known::No, |info| Known::Listed { info }),
            CurveSource::Callback(callback) => Known::Ask(callback),
            #[cfg(feature = "tokio")]
            CurveSource::AsyncCallback(callback) => Known::AskAsync(callback),
        }
    }

    /// The same keys in a table with room for more, where this one is full: it would grow under the lock.
    pub(crate) fn roomier(&self) -> Option<Self> {
        match self {
            CurveSource::Keys(keys) if keys.len() == keys.capacity() => {
                let mut copy = KeySet::with_capacity_and_hasher(keys.len() * 2, RandomState::default());
                copy.extend(keys);
                Some(CurveSource::Keys(copy))
            }
            CurveSource::Directory(keys) if keys.len() == keys.capacity() => {
                let mut copy = Keys::with_capacity_and_hasher(keys.len() * 2, RandomState::default());
                copy.extend(keys.iter().map(|(key, info)| (*key, info.clone())));
                Some(CurveSource::Directory(copy))
            }
            _ => None,
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
                directory.entry(key).or_insert(None);
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
            CurveSource::Store { .. } => "a live store",
            CurveSource::Callback(_) => "a callback",
            #[cfg(feature = "tokio")]
            CurveSource::AsyncCallback(_) => "a callback",
        }
    }

    /// Removes one key; tells whether it was there.
    pub(crate) fn remove(&mut self, key: &PublicKey) -> Result<bool, &'static str> {
        match self {
            CurveSource::Keys(keys) => Ok(keys.remove(key)),
            CurveSource::Directory(directory) => Ok(directory.remove(key).is_some()),
            unlisted => Err(unlisted.kind()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        PublicKey::from(bytes)
    }

    fn space(source: &CurveSource) -> (usize, usize) {
        match source {
            CurveSource::Keys(keys) => (keys.len(), keys.capacity()),
            CurveSource::Directory(keys) => (keys.len(), keys.capacity()),
            _ => unreachable!("it lists keys"),
        }
    }

    #[test]
    fn a_full_table_has_a_larger_copy_and_no_other_has_one() {
        for mut source in [CurveSource::Keys(KeySet::default()), CurveSource::Directory(Keys::default())] {
            let mut copies = 0;
            for number in 0..2_000 {
                let (held, room) = space(&source);
                let roomier = source.roomier();
                assert_eq!(roomier.is_some(), held == room, "{held} of {room}");
                if let Some(roomier) = roomier {
                    assert!(space(&roomier).0 == held && space(&roomier).1 >= held * 2, "{:?}", space(&roomier));
                    copies += 1;
                    source = roomier;
                }
                source.add(key(number)).unwrap();
            }
            assert!((5..20).contains(&copies), "{copies}");
            assert!((0..2_000).all(|number| matches!(source.look_up(&key(number)), Known::Listed { info: None })));
            assert_eq!((source.remove(&key(7)), source.remove(&key(7))), (Ok(true), Ok(false)));
        }
        assert!(CurveSource::Any.roomier().is_none());
    }
}
