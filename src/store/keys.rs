//! The keys of a directory as they are decided by: read by everyone, changed by reloads.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use foldhash::fast::RandomState;

use super::files::Files;
use crate::error::Result;
use crate::keys::PublicKey;
use crate::metadata::Metadata;
use crate::policy::Validity;

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

/// The keys, each with what is known about it.
pub(crate) type Keys = HashMap<PublicKey, Option<Arc<KeyInfo>>, RandomState>;

/// Loads every `*.key` of a directory once; one that can't be read is an error, and nothing is loaded.
pub(crate) fn load_keys(directory: &Path) -> Result<Keys> {
    let mut files = Files::default();
    files.open(directory)?;
    Ok(files.keys())
}

/// More changes than this are made in a copy.
const MANY: usize = 256;

/// Keys that are looked up while they change.
#[derive(Default)]
pub(super) struct KeyTable(RwLock<Keys>);

/// What a key is from now on: `None` where it is let in no more.
pub(super) type Change = (PublicKey, Option<Option<Arc<KeyInfo>>>);

impl KeyTable {
    pub(super) fn len(&self) -> usize {
        self.read(Keys::len)
    }

    /// `None` for an unknown key.
    pub(super) fn get(&self, key: &PublicKey) -> Option<Option<Arc<KeyInfo>>> {
        self.read(|keys| keys.get(key).cloned())
    }

    pub(super) fn replace(&self, keys: Keys) {
        let old = std::mem::replace(&mut *self.write(), keys);
        drop(old);
    }

    /// Makes all changes at once. Only one caller may do so at a time.
    ///
    /// A few are made in place, in microseconds. Where the table would have to grow, or would be locked for long, a copy
    /// is changed instead while the old one is still decided by. What is freed is freed behind the lock.
    pub(super) fn apply(&self, changes: Vec<Change>) {
        let room = self.read(|keys| keys.capacity() - keys.len());
        if changes.len() <= MANY.min(room) {
            let mut keys = self.write();
            let old = change(&mut keys, changes);
            drop(keys);
            drop(old);
            return;
        }
        let mut copy = self.read(|keys| {
            let mut copy = Keys::with_capacity_and_hasher(keys.len() + changes.len(), RandomState::default());
            copy.extend(keys.iter().map(|(key, info)| (*key, info.clone())));
            copy
        });
        let old = change(&mut copy, changes);
        self.replace(copy);
        drop(old);
    }

    fn read<T>(&self, look: impl FnOnce(&Keys) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers what was there before.
fn change(keys: &mut Keys, changes: Vec<Change>) -> Vec<Option<Option<Arc<KeyInfo>>>> {
    let mut old = Vec::with_capacity(changes.len());
    for (key, info) in changes {
        old.push(match info {
            Some(info) => keys.insert(key, info),
            None => keys.remove(&key),
        });
    }
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        bytes.into()
    }

    #[test]
    fn changes_few_and_many_in_place_and_in_a_copy() {
        let table = KeyTable::default();
        let mut expected = std::collections::HashSet::new();
        // Grows from nothing, shrinks, and passes every path.
        for (from, to, step, there) in
            [(0, 3, 1, true), (3, 1000, 1, true), (0, 1000, 7, false), (0, 50, 1, true), (40, 900, 1, false)]
        {
            let numbers: Vec<u64> = (from..to).step_by(step).collect();
            table.apply(numbers.iter().map(|&number| (key(number), there.then_some(None))).collect());
            for number in numbers {
                if there {
                    expected.insert(number)
                } else {
                    expected.remove(&number)
                };
            }
            for number in 0..1100 {
                assert_eq!(table.get(&key(number)).is_some(), expected.contains(&number), "{number}");
            }
            assert_eq!(table.len(), expected.len());
        }
    }

    #[test]
    fn a_table_with_room_is_changed_where_it_is() {
        let table = KeyTable::default();
        table.replace((0..1000).map(|number| (key(number), None)).collect());
        let address = |table: &KeyTable| table.read(|keys| std::ptr::from_ref(&keys[&key(1)]).addr());
        table.apply(vec![(key(500), None)]);
        let before = address(&table);
        table.apply(vec![(key(500), Some(None)), (key(2), None)]);
        assert_eq!(address(&table), before);
    }
}
