//! The changes of a bucket's followers. Only one of them, the one whose turn it is, can change the credentials.

use std::sync::Arc;

use super::PushedCredentials;
use crate::contact::Moment;
use crate::curve::{KeyChange, KeyMap};
use crate::plain::UserChange;
use crate::reload::{ReloadSummary, lock};

impl PushedCredentials {
    /// Whether a domain uses them.
    pub(crate) fn is_used(&self) -> bool {
        Arc::strong_count(&self.0.keys) > 1 || Arc::strong_count(&self.0.users) > 1
    }

    /// Ends the current turn, and returns the next.
    pub(crate) fn next_turn(&self) -> u64 {
        let mut turn = lock(&self.0.update);
        *turn += 1;
        *turn
    }

    pub(crate) fn apply_keys(&self, turn: u64, changes: Vec<KeyChange>) {
        self.in_turn(turn, "keys", || self.0.keys.change(changes));
    }

    pub(crate) fn swap_keys(&self, turn: u64, keys: KeyMap) {
        self.in_turn(turn, "keys", || self.0.keys.replace(keys));
    }

    pub(crate) fn apply_users(&self, turn: u64, changes: Vec<UserChange>) {
        self.in_turn(turn, "users", || self.0.users.change(changes));
    }

    pub(crate) fn swap_users(&self, turn: u64, users: Vec<UserChange>) {
        self.in_turn(turn, "users", || self.0.users.replace(users));
    }

    pub(crate) fn proven(&self, turn: u64, asked: Moment) {
        self.in_turn(turn, "keys", || {
            self.0.contact.proven(asked);
            ReloadSummary::default()
        });
    }

    fn in_turn(&self, turn: u64, what: &'static str, change: impl FnOnce() -> ReloadSummary) {
        let update = lock(&self.0.update);
        if *update == turn {
            self.note(what, change());
        }
        drop(update);
        self.tell();
    }
}
