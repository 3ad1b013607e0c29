//! Users with hashed passwords that a program pushes.

use std::sync::Arc;

use super::file::Users;
use super::hash::Phc;
use super::table::{PasswordTable, StoredPassword, UserList};
use super::{hash_like, problem};
use crate::contact::Contact;
use crate::error::{Error, Result};
use crate::reload::ReloadSummary;

/// The users, and the contact that they depend on. Only one caller may change them at a time.
pub(crate) struct PushedUsers {
    users: Users,
    contact: Arc<Contact>,
}

/// A user's new credentials: `None` if the user is no longer accepted.
pub(crate) struct UserChange {
    name: Box<[u8]>,
    hashed: Option<Box<Phc>>,
}

impl UserChange {
    /// # Errors
    /// [`Error::PlainCredentials`] for a name or a hash that can't be used.
    pub(crate) fn new(name: &str, hash: Option<&str>) -> Result<Self> {
        let refused = |what, problem| Error::PlainCredentials { what, problem };
        if let Some(problem) = problem(name.as_bytes()) {
            return Err(refused("user name", problem));
        }
        if name.contains('\0') {
            return Err(refused("user name", "has a NUL byte"));
        }
        if hash_like::swallowed_a_hash(name.as_bytes()) {
            return Err(refused("user name", "looks like a name and a hash"));
        }
        let Some(hash) = hash else { return Ok(UserChange::removal(name)) };
        if !hash.starts_with('$') {
            return Err(refused("password", "is not hashed: pushed users have argon2id PHC strings"));
        }
        let hashed = Phc::parse(hash.as_bytes()).map_err(|problem| refused("password", problem))?;
        Ok(UserChange { name: name.as_bytes().into(), hashed: Some(Box::new(hashed)) })
    }

    pub(crate) fn removal(name: &str) -> Self {
        UserChange { name: name.as_bytes().into(), hashed: None }
    }
}

impl PushedUsers {
    pub(crate) fn new(contact: Arc<Contact>) -> Self {
        PushedUsers { users: Users::default(), contact }
    }

    pub(crate) fn len(&self) -> usize {
        self.read(|table| table.len())
    }

    pub(super) fn contact(&self) -> &Contact {
        &self.contact
    }

    /// Reads the current table, however old the last contact is.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Arc<PasswordTable>) -> T) -> T {
        self.users.read(look)
    }

    /// If a name occurs twice, the last change counts.
    pub(crate) fn change(&self, changes: Vec<UserChange>) -> ReloadSummary {
        let now = self.read(Arc::clone);
        if changes.iter().all(|change| !now.would_change(&change.name, change.hashed.as_deref())) {
            return ReloadSummary::default();
        }
        let mut users = UserList::default();
        for (name, hashed) in now.hashed_users() {
            users.insert(name, StoredPassword::Hashed(hashed.clone().into()));
        }
        self.put_in_force(users, changes)
    }

    pub(crate) fn replace(&self, users: Vec<UserChange>) -> ReloadSummary {
        self.put_in_force(UserList::default(), users)
    }

    fn put_in_force(&self, mut users: UserList, changes: Vec<UserChange>) -> ReloadSummary {
        for change in changes {
            match change.hashed {
                Some(hashed) => users.insert(&change.name, StoredPassword::Hashed(hashed)),
                None => users.remove(&change.name),
            }
        }
        let summary = self.users.replace(self.users.table_of(users), true);
        ReloadSummary { read: 0, ..summary.unwrap_or_default() }
    }
}
