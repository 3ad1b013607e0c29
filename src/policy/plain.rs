//! The source of PLAIN passwords of one domain.

use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock};

use foldhash::quality::RandomState;
use indexmap::IndexMap;
use smallvec::SmallVec;

use super::finder::Finder;
use crate::error::{Error, Result};
use crate::keys::{PaddedPassword, Password};
use crate::policy::call::PlainCallback;
#[cfg(feature = "argon2")]
use crate::store::{Cost, Phc};
use crate::store::{PasswordFile, ReloadObserver};

/// libzmq's limit for a user name and for a password.
const MAX_LENGTH: usize = 255;

/// Who may enter with which password.
pub(crate) enum PlainSource {
    Table(PasswordTable),
    /// A file that may change; with whoever is told of it.
    File {
        file: PasswordFile,
        _observer: Arc<ReloadObserver>,
    },
    Callback(Arc<PlainCallback>),
    #[cfg(feature = "tokio")]
    AsyncCallback(Arc<super::call::AsyncPlainCallback>),
}

impl PlainSource {
    /// What decides, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            PlainSource::Table(_) => "a table of users",
            PlainSource::File { .. } => "a password file",
            PlainSource::Callback(_) => "a callback",
            #[cfg(feature = "tokio")]
            PlainSource::AsyncCallback(_) => "an async callback",
        }
    }
}

/// User names and passwords.
pub(crate) struct PasswordTable {
    users: IndexMap<UserName, StoredPassword, RandomState>,
    finder: Finder,
    // All passwords stand in blocks of one width, so that the time of a comparison is the same for all.
    wide: bool,
    /// What the hashed passwords cost, one for each. With none, comparing costs nothing worth a thread.
    #[cfg(feature = "argon2")]
    costs: Vec<Cost>,
}

/// Up to 24 bytes stand in the table itself.
type UserName = SmallVec<[u8; 24]>;

/// A password as it stands in a table: on the heap, for a table that grows would leave copies behind, unwiped.
#[derive(PartialEq)]
pub(crate) enum StoredPassword {
    Clear(PaddedPassword),
    #[cfg(feature = "argon2")]
    Hashed(Box<Phc>),
}

impl PasswordTable {
    pub(crate) fn new<I, U, P>(passwords: I) -> Result<Self>
    where
        I: IntoIterator<Item = (U, P)>,
        U: Into<String>,
        P: Into<Password>,
    {
        let mut table = PasswordTable::empty(RandomState::default());
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
            let Some(password) = PaddedPassword::new(password.as_bytes()) else {
                return Err(Error::PlainCredentials { what: "password", problem: TOO_LONG });
            };
            table.insert(user.as_bytes(), StoredPassword::Clear(password));
        }
        Ok(table.index())
    }

    /// Of nobody. The hasher says whose cost a user who isn't there takes on: one who keeps it gives all tables the same
    /// answer.
    pub(crate) fn empty(hasher: RandomState) -> Self {
        PasswordTable {
            users: IndexMap::with_hasher(hasher),
            finder: Finder::default(),
            wide: false,
            #[cfg(feature = "argon2")]
            costs: Vec::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// Tells the user's password from another, for as long as the process runs; `None` for a user who isn't there.
    pub(crate) fn credential(&self, username: &[u8]) -> Option<u64> {
        Some(match self.stored(username)? {
            StoredPassword::Clear(password) => credential(password.as_bytes()),
            #[cfg(feature = "argon2")]
            StoredPassword::Hashed(phc) => credential(phc.hash()),
        })
    }

    /// Compares bytes, in a time that depends on neither the password nor whether there is such a user. A hashed password
    /// is never equal to anything here.
    pub(crate) fn holds(&self, username: &[u8], password: &[u8]) -> bool {
        let Some(found) = self.finder.find(username) else { return false };
        // For a user who isn't there, some other's password is compared with: as far from the processor's caches as a real
        // one would be.
        let Some((name, stored)) = self.users.get_index(found.place) else { return false };
        let is_right = stored.matches(password) & found.is_likely;
        // Only who knows the password gets as far as the name.
        is_right && **name == *username
    }

    /// The user's password as it is stored.
    pub(crate) fn stored(&self, username: &[u8]) -> Option<&StoredPassword> {
        self.users.get(username)
    }

    /// All of them.
    pub(crate) fn users(&self) -> impl Iterator<Item = (&[u8], &StoredPassword)> {
        self.users.iter().map(|(name, stored)| (&**name, stored))
    }

    /// Whether a password of this table has to be hashed to be compared.
    #[cfg(feature = "argon2")]
    pub(crate) fn is_hashed(&self) -> bool {
        !self.costs.is_empty()
    }

    /// What a guess for a user without a hashed password is to cost: that of some user who has one, and always the same
    /// one. So names that don't exist cost what those that do cost, each in the same proportion.
    #[cfg(feature = "argon2")]
    pub(crate) fn cost(&self, username: &[u8]) -> Option<Cost> {
        let hash = self.users.hasher().hash_one(username) as usize;
        self.costs.get(hash.checked_rem(self.costs.len())?).copied()
    }

    /// Adds a user, or replaces the password of one. They are let in once [`index`](Self::index) was called.
    pub(crate) fn insert(&mut self, user: &[u8], mut password: StoredPassword) {
        #[cfg(feature = "argon2")]
        if let StoredPassword::Hashed(phc) = &password {
            self.costs.push(phc.cost);
        }
        if self.wide {
            password.widen();
        } else if password.is_wide() {
            self.wide = true;
            self.users.values_mut().for_each(StoredPassword::widen);
        }
        self.users.insert(user.into(), password);
    }

    /// To be called when all users are there.
    pub(crate) fn index(mut self) -> Self {
        self.finder = Finder::new(self.users.keys().map(|name| &**name));
        self
    }
}

impl StoredPassword {
    fn is_wide(&self) -> bool {
        match self {
            StoredPassword::Clear(stored) => stored.is_wide(),
            #[cfg(feature = "argon2")]
            StoredPassword::Hashed(_) => false,
        }
    }

    fn widen(&mut self) {
        match self {
            StoredPassword::Clear(stored) => stored.widen(),
            #[cfg(feature = "argon2")]
            StoredPassword::Hashed(_) => {}
        }
    }

    fn matches(&self, password: &[u8]) -> bool {
        match self {
            StoredPassword::Clear(stored) => stored.matches(password),
            // Not here: it takes a thread of its own.
            #[cfg(feature = "argon2")]
            StoredPassword::Hashed(_) => false,
        }
    }
}

/// A keyed hash: without the key, which never leaves the process, it says nothing about the password.
pub(crate) fn credential(password: &[u8]) -> u64 {
    static KEY: OnceLock<std::hash::RandomState> = OnceLock::new();
    KEY.get_or_init(std::hash::RandomState::new).hash_one(password)
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
        for user in 0..100 {
            let user = format!("nobody {user}");
            assert!(!table.holds(user.as_bytes(), b"correct horse") && !table.holds(user.as_bytes(), b"tr0ub4dor"));
        }
        assert!(!PasswordTable::new([("", ""); 0]).unwrap().holds(b"alice", b""));
    }

    #[test]
    fn one_long_password_makes_all_blocks_wide() {
        let long = "x".repeat(64);
        for passwords in [["short", &long, "other"], [&long, "short", "other"]] {
            let table = PasswordTable::new(["a", "b", "c"].into_iter().zip(passwords)).unwrap();
            assert!(table.users.values().all(StoredPassword::is_wide));
            for (user, password) in [b"a", b"b", b"c"].into_iter().zip(passwords) {
                assert!(table.holds(user, password.as_bytes()) && !table.holds(user, b"x"));
            }
        }
        assert!(!table().users.values().any(StoredPassword::is_wide));
    }

    #[test]
    fn the_last_password_of_a_user_counts() {
        let table = PasswordTable::new([("alice", "old one"), ("bob", "his own"), ("alice", "new one")]).unwrap();
        assert_eq!(table.len(), 2);
        assert!(table.holds(b"alice", b"new one") && !table.holds(b"alice", b"old one"));
        assert!(table.holds(b"bob", b"his own"));
        assert_eq!(table.credential(b"alice"), Some(credential(b"new one")));
    }

    #[test]
    fn what_no_client_can_send_is_refused() {
        let long = "x".repeat(256);
        for (user, password, what, problem) in [
            ("", "p", "user name", "is empty"),
            ("u", "", "password", "is empty"),
            (&long, "p", "user name", "longer than 255"),
            ("u", &long, "password", "longer than 255"),
            ("u\0", "p", "user name", "NUL"),
        ] {
            let Err(error) = PasswordTable::new([(user, password)]) else { panic!("{user:?} was taken") };
            let Error::PlainCredentials { what: told, problem: why } = error else { panic!("{error:?}") };
            assert!(told == what && why.contains(problem), "{user:?}: {told} {why}");
        }
        assert_eq!(PasswordTable::new([("x".repeat(255), "y".repeat(255))]).unwrap().len(), 1);
    }
}
