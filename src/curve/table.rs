//! A table of keys that decisions read while reloads change it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use foldhash::fast::RandomState;

use crate::certificate::KeyInfo;
use crate::in_place::fits_in_place;
use crate::keys::PublicKey;

/// The keys, each with its certificate's content.
pub(crate) type KeyMap = HashMap<PublicKey, Option<Arc<KeyInfo>>, RandomState>;

/// The file name of each key.
pub(crate) type NameMap = HashMap<PublicKey, Box<str>, RandomState>;

/// Keys that are looked up while they change.
#[derive(Default)]
pub(super) struct KeyTable {
    keys: RwLock<KeyMap>,
    /// Kept only if user ids are made of them.
    names: RwLock<Option<NameMap>>,
}

/// A key's new state: `None` if it is no longer accepted.
pub(crate) type KeyChange = (PublicKey, Option<Option<Arc<KeyInfo>>>);

impl KeyTable {
    pub(super) fn len(&self) -> usize {
        self.read(KeyMap::len)
    }

    /// `None` for an unknown key.
    pub(super) fn get(&self, key: &PublicKey) -> Option<Option<Arc<KeyInfo>>> {
        self.read(|keys| keys.get(key).cloned())
    }

    /// The name of the key's file, if names are kept.
    pub(super) fn file_name(&self, key: &PublicKey) -> Option<Box<str>> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(key).cloned()
    }

    pub(super) fn keeps_names(&self) -> bool {
        self.names.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn set_names(&self, names: NameMap) {
        let old = self.names.write().unwrap_or_else(PoisonError::into_inner).replace(names);
        drop(old);
    }

    pub(super) fn replace(&self, keys: KeyMap) {
        let old = std::mem::replace(&mut *self.write(), keys);
        drop(old);
    }

    /// Applies all changes at once. Only one caller may do so at a time.
    ///
    /// Memory is freed after the lock is released.
    pub(super) fn apply(&self, changes: Vec<KeyChange>) {
        let room = self.read(|keys| keys.capacity() - keys.len());
        if fits_in_place(changes.len(), room) {
            let mut keys = self.write();
            let old = change(&mut keys, changes);
            drop(keys);
            drop(old);
            return;
        }
        let mut copy = self.read(|keys| with_room(keys, changes.len()));
        let old = change(&mut copy, changes);
        self.replace(copy);
        drop(old);
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&KeyMap) -> T) -> T {
        look(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> RwLockWriteGuard<'_, KeyMap> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy with room for `more` keys.
pub(super) fn with_room(keys: &KeyMap, more: usize) -> KeyMap {
    let mut copy = KeyMap::with_capacity_and_hasher(keys.len() + more, RandomState::default());
    copy.extend(keys.iter().map(|(key, info)| (*key, info.clone())));
    copy
}

/// Applies the changes, and returns what was there before.
fn change(keys: &mut KeyMap, changes: Vec<KeyChange>) -> Vec<Option<Option<Arc<KeyInfo>>>> {
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
        // Grows from nothing, shrinks, and takes every path.
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
