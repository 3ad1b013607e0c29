//! The source of PLAIN passwords of one domain.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::keys::{PaddedPassword, Password};
use crate::policy::call::PlainCallback;

/// libzmq's limit for a user name and for a password.
const MAX_LENGTH: usize = 255;

/// Who may enter with which password.
pub(crate) enum PlainSource {
    Table(PasswordTable),
    Callback(Arc<PlainCallback>),
    #[cfg(feature = "tokio")]
    AsyncCallback(Arc<super::call::AsyncPlainCallback>),
}

impl PlainSource {
    /// What decides, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            PlainSource::Table(_) => "a table of users",
            PlainSource::Callback(_) => "a callback",
            #[cfg(feature = "tokio")]
            PlainSource::AsyncCallback(_) => "an async callback",
        }
    }
}

/// User names and passwords.
pub(crate) struct PasswordTable {
    users: HashMap<Box<[u8]>, Box<PaddedPassword>>,
    // Compared with for a user who isn't there, so that this takes as long as a wrong password.
    decoy: Box<PaddedPassword>,
}

impl PasswordTable {
    pub(crate) fn new<I, U, P>(passwords: I) -> Result<Self>
    where
        I: IntoIterator<Item = (U, P)>,
        U: Into<String>,
        P: Into<Password>,
    {
        let mut users = HashMap::new();
        for (user, password) in passwords {
            let user: String = user.into();
            let password: Password = password.into();
            if let Some(problem) = problem(user.as_bytes()) {
                return Err(Error::PlainCredentials { what: "user name", problem });
            }
            if user.contains('\0') {
                return Err(Error::PlainCredentials { what: "user name", problem: "has a NUL byte" });
            }
            if let Some(problem) = problem(password.as_bytes()) {
                return Err(Error::PlainCredentials { what: "password", problem });
            }
            let Some(password) = PaddedPassword::boxed(password.as_bytes()) else {
                return Err(Error::PlainCredentials { what: "password", problem: TOO_LONG });
            };
            users.insert(user.into_bytes().into_boxed_slice(), password);
        }
        Ok(PasswordTable { users, decoy: Box::new(PaddedPassword::decoy()) })
    }

    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// Tells the user's password from another, for as long as the process runs; `None` for a user who isn't there.
    pub(crate) fn credential(&self, username: &[u8]) -> Option<u64> {
        self.users.get(username).map(|password| credential(password.as_bytes()))
    }

    /// Compares bytes, in a time that depends on neither the password nor whether there is such a user.
    pub(crate) fn holds(&self, username: &[u8], password: &[u8]) -> bool {
        let entry = self.users.get(username);
        let equal = entry.unwrap_or(&self.decoy).matches(password);
        equal & entry.is_some()
    }
}

/// A keyed hash: without the key, which never leaves the process, it says nothing about the password.
pub(crate) fn credential(password: &[u8]) -> u64 {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    KEY.get_or_init(RandomState::new).hash_one(password)
}

const TOO_LONG: &str = "is longer than 255 bytes, libzmq's limit: no client could send it";

/// Shared by both ends: what a client may not set, a server need not know.
pub(crate) fn problem(text: &[u8]) -> Option<&'static str> {
    match text.len() {
        0 => Some("is empty, which libzmq clients can't send"),
        1..=MAX_LENGTH => None,
        _ => Some(TOO_LONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PasswordTable {
        PasswordTable::new([("alice", "correct horse"), ("bob", "tr0ub4dor")]).unwrap()
    }

    #[test]
    fn only_the_right_password_of_the_right_user() {
        let table = table();
        assert!(table.holds(b"alice", b"correct horse"));
        assert!(!table.holds(b"alice", b"tr0ub4dor"));
        assert!(!table.holds(b"alice", b"correct hors"));
        assert!(!table.holds(b"alice", b"correct horse\0"));
        assert!(!table.holds(b"alice", b""));
        assert!(!table.holds(b"Alice", b"correct horse"));
        assert!(!table.holds(b"", b""));
        assert!(!table.holds(b"nobody", b""));
        assert!(!table.holds(b"nobody", &[0; 255]));
        assert!(!table.holds(b"nobody", &[0; 4096]));
    }

    #[test]
    fn what_no_client_can_send_is_refused() {
        let long = "x".repeat(256);
        for (user, password) in [("", "p"), ("u", ""), (&long, "p"), ("u", &long), ("u\0", "p")] {
            let Err(error) = PasswordTable::new([(user, password)]) else { panic!("{user:?} was taken") };
            assert!(matches!(error, Error::PlainCredentials { .. }));
        }
        assert_eq!(PasswordTable::new([("x".repeat(255), "y".repeat(255))]).unwrap().len(), 1);
    }
}
