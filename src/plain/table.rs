//! The table of users: names, and passwords or hashes.

#[cfg(feature = "argon2")]
use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use indexmap::IndexMap;
use smallvec::SmallVec;

#[cfg(feature = "argon2")]
use super::hash::{Cost, Phc};
use super::index::NameIndex;
use super::padded::PaddedPasswords;
use super::{Password, fingerprint_of, hash_like, problem};
use crate::error::{Error, Result};
use crate::reason::Fingerprint;

/// User names and passwords, for look-ups.
pub(crate) struct PasswordTable {
    // Each at the place that the index gives.
    index: NameIndex,
    users: Box<[UserEntry]>,
    /// The clear passwords. At the place of a hashed one, nothing matches.
    passwords: PaddedPasswords,
    #[cfg(feature = "argon2")]
    costs: Costs,
}

struct UserEntry {
    name: UserName,
    #[cfg(feature = "argon2")]
    hashed: Option<Box<Phc>>,
}

/// The cost of each hashed password. If there is none, comparing is too cheap to need a thread.
#[cfg(feature = "argon2")]
struct Costs {
    each: Box<[Cost]>,
    hasher: RandomState,
}

/// Up to 24 bytes are stored in the table itself.
type UserName = SmallVec<[u8; 24]>;

/// User names and passwords from which a table is built.
#[derive(Default)]
pub(crate) struct UserList(IndexMap<UserName, StoredPassword, RandomState>);

/// A password in the form in which it is stored.
pub(crate) enum StoredPassword {
    /// 1 to 255 bytes.
    Clear(Password),
    #[cfg(feature = "argon2")]
    Hashed(Box<Phc>),
}

impl UserList {
    /// Adds a user, or replaces the password of one.
    pub(crate) fn insert(&mut self, user: &[u8], password: StoredPassword) {
        self.0.insert(user.into(), password);
    }

    #[cfg(feature = "argon2")]
    pub(crate) fn remove(&mut self, user: &[u8]) {
        self.0.swap_remove(user);
    }
}

impl PasswordTable {
    /// Builds a table from clear passwords, as a program gives them.
    pub(crate) fn from_passwords<I, U, P>(passwords: I) -> Result<Self>
    where
        I: IntoIterator<Item = (U, P)>,
        U: Into<String>,
        P: Into<Password>,
    {
        let mut users = UserList::default();
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
            if hash_like::is_marked(password.as_bytes()) {
                let problem = "looks like a hash: a table has clear passwords; a PasswordFile can have hashed ones";
                return Err(Error::PlainCredentials { what: "password", problem });
            }
            users.insert(user.as_bytes(), StoredPassword::Clear(password));
        }
        Ok(PasswordTable::new(users, RandomState::default()))
    }

    /// The hasher chooses whose cost an unknown user is charged: with the same hasher, all tables choose alike.
    #[cfg_attr(not(feature = "argon2"), expect(unused_variables, reason = "nothing costs anything"))]
    pub(crate) fn new(users: UserList, hasher: RandomState) -> Self {
        let users = users.0;
        let (index, order) = NameIndex::new(users.keys().map(|name| &**name));
        let at = |number: &u32| users.get_index(*number as usize);
        let passwords = PaddedPasswords::new(order.iter().map(|number| match at(number)?.1 {
            StoredPassword::Clear(password) => Some(password),
            #[cfg(feature = "argon2")]
            StoredPassword::Hashed(_) => None,
        }));
        #[cfg(feature = "argon2")]
        let each = users.values().filter_map(StoredPassword::hashed).map(|phc| phc.cost).collect();
        let user = |(name, _stored): (&UserName, &StoredPassword)| UserEntry {
            name: name.clone(),
            #[cfg(feature = "argon2")]
            hashed: _stored.hashed().cloned().map(Box::new),
        };
        PasswordTable {
            index,
            users: order.iter().filter_map(at).map(user).collect(),
            passwords,
            #[cfg(feature = "argon2")]
            costs: Costs { each, hasher },
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// The fingerprint of the user's password; `None` for an unknown user.
    pub(crate) fn fingerprint(&self, username: &[u8]) -> Option<Fingerprint> {
        let place = self.place(username)?;
        #[cfg(feature = "argon2")]
        if let Some(phc) = &self.users.get(place)?.hashed {
            return Some(fingerprint_of(phc.hash()));
        }
        Some(fingerprint_of(self.passwords.password(place)?.as_bytes()))
    }

    /// Compares bytes, in a time that depends neither on the password nor on whether the user exists. A hashed password never
    /// matches here.
    pub(crate) fn holds(&self, username: &[u8], password: &[u8]) -> bool {
        // For an unknown user, another user's password is compared, which is as far from the processor's caches as a real
        // one.
        let Some(slot) = self.index.find(username) else { return false };
        let is_right = self.passwords.matches(slot.place, password) & slot.hash_matches;
        // Only somebody who knows the password gets as far as the name.
        is_right && self.users.get(slot.place).is_some_and(|user| user.is_clear() && *user.name == *username)
    }

    /// The user's place.
    fn place(&self, username: &[u8]) -> Option<usize> {
        let place = self.index.find(username)?.place;
        (*self.users.get(place)?.name == *username).then_some(place)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.users.iter().map(|user| &*user.name)
    }

    pub(crate) fn has(&self, username: &[u8]) -> bool {
        self.place(username).is_some()
    }

    /// Whether a user has the same stored password in both tables; `None` if either lacks the user.
    pub(crate) fn is_unchanged(&self, other: &Self, username: &[u8]) -> Option<bool> {
        let (place, there) = (self.place(username)?, other.place(username)?);
        #[cfg(feature = "argon2")]
        if self.users.get(place)?.hashed != other.users.get(there)?.hashed {
            return Some(false);
        }
        Some(self.passwords.password(place) == other.passwords.password(there))
    }

    /// Whether checking a password may need a hash.
    #[cfg(feature = "argon2")]
    pub(crate) fn is_hashed(&self) -> bool {
        !self.costs.each.is_empty()
    }

    /// The user's password, if it is hashed.
    #[cfg(feature = "argon2")]
    pub(crate) fn hashed(&self, username: &[u8]) -> Option<&Phc> {
        self.users.get(self.place(username)?)?.hashed.as_deref()
    }

    /// The users with hashed passwords.
    #[cfg(feature = "argon2")]
    pub(crate) fn hashed_users(&self) -> impl Iterator<Item = (&[u8], &Phc)> {
        self.users.iter().filter_map(|user| Some((&*user.name, user.hashed.as_deref()?)))
    }

    /// Whether the user has another password than this hashed one; `None` for an unknown user.
    #[cfg(feature = "argon2")]
    pub(crate) fn would_change(&self, username: &[u8], hashed: Option<&Phc>) -> bool {
        self.has(username) != hashed.is_some() || self.hashed(username) != hashed
    }

    /// The hashing cost charged for users without a hashed password: that of a fixed, pseudo-randomly chosen user who has
    /// one. So the costs of unknown names are distributed like those of real ones, and don't reveal which names exist.
    #[cfg(feature = "argon2")]
    pub(crate) fn cost(&self, username: &[u8]) -> Option<Cost> {
        let hash = self.costs.hasher.hash_one(username) as usize;
        self.costs.each.get(hash.checked_rem(self.costs.each.len())?).copied()
    }
}

impl UserEntry {
    fn is_clear(&self) -> bool {
        #[cfg(feature = "argon2")]
        return self.hashed.is_none();
        #[cfg(not(feature = "argon2"))]
        true
    }
}

#[cfg(feature = "argon2")]
impl StoredPassword {
    fn hashed(&self) -> Option<&Phc> {
        match self {
            StoredPassword::Clear(_) => None,
            StoredPassword::Hashed(phc) => Some(phc),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> PasswordTable {
        PasswordTable::from_passwords([("alice", "correct horse"), ("bob", "tr0ub4dor")]).unwrap()
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
        assert!(!PasswordTable::from_passwords([("", ""); 0]).unwrap().holds(b"alice", b""));
    }

    #[test]
    fn one_long_password_makes_all_blocks_wide() {
        let long = "x".repeat(64);
        for passwords in [["short", &long, "other"], [&long, "short", "other"]] {
            let table = PasswordTable::from_passwords(["a", "b", "c"].into_iter().zip(passwords)).unwrap();
            assert!(table.passwords.is_wide());
            for (user, password) in [b"a", b"b", b"c"].into_iter().zip(passwords) {
                assert!(table.holds(user, password.as_bytes()) && !table.holds(user, b"x"));
            }
        }
        assert!(!table().passwords.is_wide());
    }

    #[test]
    fn the_last_password_of_a_user_counts() {
        let table =
            PasswordTable::from_passwords([("alice", "old one"), ("bob", "his own"), ("alice", "new one")]).unwrap();
        assert_eq!(table.len(), 2);
        assert!(table.holds(b"alice", b"new one") && !table.holds(b"alice", b"old one"));
        assert!(table.holds(b"bob", b"his own"));
        assert_eq!(table.fingerprint(b"alice"), Some(fingerprint_of(b"new one")));
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
            let Err(error) = PasswordTable::from_passwords([(user, password)]) else { panic!("{user:?} was taken") };
            let Error::PlainCredentials { what: told, problem: why } = error else { panic!("{error:?}") };
            assert!(told == what && why.contains(problem), "{user:?}: {told} {why}");
        }
        assert_eq!(PasswordTable::from_passwords([("x".repeat(255), "y".repeat(255))]).unwrap().len(), 1);
    }
}
