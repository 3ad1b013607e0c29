//! Keys that a program pushes.

use std::sync::Arc;

use super::table::{KeyChange, KeyMap, KeyTable};
use crate::certificate::KeyInfo;
use crate::contact::Contact;
use crate::keys::PublicKey;
use crate::reload::ReloadSummary;

/// The keys, and the contact that they depend on. Only one caller may change them at a time.
pub(crate) struct PushedKeys {
    keys: KeyTable,
    contact: Arc<Contact>,
}

impl PushedKeys {
    pub(crate) fn new(contact: Arc<Contact>) -> Self {
        PushedKeys { keys: KeyTable::default(), contact }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn contact(&self) -> &Contact {
        &self.contact
    }

    /// `None` for a key that isn't accepted, however old the last contact is.
    pub(super) fn look_up(&self, key: &PublicKey) -> Option<Option<Arc<KeyInfo>>> {
        self.keys.get(key)
    }

    /// If a key occurs twice, the last change counts.
    pub(crate) fn change(&self, changes: Vec<KeyChange>) -> ReloadSummary {
        let mut summary = ReloadSummary::default();
        let mut wanted = std::collections::HashMap::with_capacity(changes.len());
        wanted.extend(changes);
        let changes: Vec<KeyChange> = wanted
            .into_iter()
            .filter(|(key, wanted)| {
                let now = self.keys.get(key);
                match (&now, wanted) {
                    (None, Some(_)) => summary.added += 1,
                    (Some(_), None) => summary.removed += 1,
                    (Some(now), Some(wanted)) if now != wanted => summary.changed += 1,
                    _ => return false,
                }
                true
            })
            .collect();
        if !changes.is_empty() {
            self.keys.apply(changes);
        }
        summary
    }

    pub(crate) fn replace(&self, keys: KeyMap) -> ReloadSummary {
        let summary = self.keys.read(|now| {
            let mut summary = ReloadSummary::default();
            for (key, info) in &keys {
                match now.get(key) {
                    None => summary.added += 1,
                    Some(known) => summary.changed += usize::from(known != info),
                }
            }
            summary.removed = now.len() + summary.added - keys.len();
            summary
        });
        if !summary.is_nothing() {
            self.keys.replace(keys);
        }
        summary
    }
}
