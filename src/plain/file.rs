//! A password file that follows the disk.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use foldhash::quality::RandomState;

use super::parse;
use super::table::{PasswordTable, UserList};
use crate::error::{Error, Result};
use crate::reload::{
    Reading, ReloadObserver, ReloadSummary, SingleFile, Source, Store, StoreProblem, StoreStatus, Unread, read_file,
};

/// The users and passwords of a file, which follow the disk: by [`reload`](Self::reload), or by themselves after
/// `watch` (feature `watch`). A clone is a handle on the same store.
///
/// Replace the file by a rename, not in place: a reload takes it as it finds it. What is half-written shows by a last line
/// without a line feed: a reload takes such a file only when it was left alone for 2 s, and is an error until then
/// ([`open`](Self::open) takes it at once).
///
/// The file has lines `name=password`, as czmq reads them: the password is all that stands behind the first `=`, blanks
/// included; lines that begin with `#`, and blank ones, are skipped; lines may end in CRLF. Its mode should be 0600: one
/// that lets others read it is warned about, and so
/// is a directory in which others could replace it.
///
/// A password may be hashed: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, a PHC string, which
/// `line` makes (feature `argon2`; at most `m=65536`, that is 64 MiB, `t=10`, `p=16`). Clear and hashed ones
/// may stand in one file.
///
/// What looks like a hash, and isn't one that can be checked, is an error and never taken for the password itself: after
/// blanks and signs in front, `$name$…` (crypt), `{scheme}…` (LDAP), the name of an algorithm with `$` or `:` behind it
/// (`pbkdf2_sha256$…`), or 32, 40, 56, 64, 96 or 128 hexadecimal digits and nothing else (MD5, SHA); anywhere, such as
/// `$argon2` or `$2y$`. So is a user name with a hash in it, as of `alice:$argon2id$v=19$…`. A clear password that looks
/// like that, such as 32 random hexadecimal digits, has to be hashed. What can't be told from a password is taken for
/// one: base64 of a digest, and the 13 characters of DES crypt.
///
/// # What hashing costs
///
/// As soon as one password of the file is hashed, **every** PLAIN client of its domains costs one hash (about 20 ms and
/// 19 MiB with the parameters above), whether the user exists or not, so that a client can't find out who does. It is
/// computed in threads of its own, none of which callbacks could have: the handler goes on deciding. In the whole process
/// at most 4 are computed at once (fewer on fewer cores), so at most 256 MiB are in use. The others wait, at most 64 of a
/// domain; policies, domains and addresses take turns, by what their hashes cost. A client that can't be decided by its
/// deadline (that of [`limit_callbacks`](crate::Authenticator::limit_callbacks)) is answered 300 at once and tries again
/// after `ZMQ_HANDSHAKE_IVL`. [`handle_zap_message`](crate::Authenticator::handle_zap_message) waits for its turn, too.
///
/// # Errors of a file
///
/// A file that has an error is an error as a whole, with its line (never its content), and what was in force before stays
/// so: [`status`](Self::status) tells.
///
/// ```
/// use zmq_auth::{Authenticator, PasswordFile};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("passwords");
/// std::fs::write(&path, "# who may buy\nalice=correct horse battery staple\n")?;
/// let passwords = PasswordFile::open(&path)?;
/// let auth = Authenticator::new();
/// auth.configure_plain_file("shop", &passwords)?;
///
/// std::fs::write(&path, "bob=Tr0ub4dor&3\n")?;
/// let reload = passwords.reload()?; // or once: passwords.watch()?
/// assert_eq!((reload.added, reload.removed), (1, 1));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone)]
pub struct PasswordFile {
    store: Store<Users>,
}

/// The table in force.
pub(super) struct Users {
    table: RwLock<Arc<PasswordTable>>,
    // One for the life of the store: the cost charged to an unknown user doesn't change at a reload.
    hasher: RandomState,
}

impl PasswordFile {
    /// Reads a file. An empty one is legal, and lets nobody in.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be read; [`Error::PasswordFile`], with the line, for one that is no regular file, is
    /// larger than 16 MiB, has a line without `=`, a user twice, a name or password that is empty or has more than 255
    /// bytes, a name that isn't UTF-8, or what looks like a hash and can't be checked.
    ///
    /// ```
    /// # use zmq_auth::{Error, PasswordFile};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("passwords");
    /// std::fs::write(&path, "alice=secret\nbob\n")?;
    /// assert!(matches!(PasswordFile::open(&path), Err(Error::PasswordFile { line: Some(2), .. })));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(PasswordFile { store: Store::open(path.as_ref(), Users::default(), SingleFile::new())? })
    }

    /// Compares with the disk, and puts in force what has changed, all at once. Clients that are connected stay connected.
    ///
    /// A stat tells whether the file has to be read again; a file that was changed less than 2 s before it was read, or
    /// has a time in the future, is read again in any case.
    ///
    /// # Errors
    /// As [`open`](Self::open), and for a file that is being written: all stays as it was.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("passwords");
    /// # std::fs::write(&path, "alice=secret\n")?;
    /// # let passwords = zmq_auth::PasswordFile::open(&path)?;
    /// std::fs::write(&path, "alice=another secret\n")?;
    /// assert_eq!(passwords.reload()?.changed, 1);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn reload(&self) -> Result<ReloadSummary> {
        self.store.reload()
    }

    /// What it holds now, and what is wrong with the file.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("passwords");
    /// # std::fs::write(&path, "alice=secret\n")?;
    /// assert_eq!(zmq_auth::PasswordFile::open(&path)?.status().entries, 1);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn status(&self) -> StoreStatus {
        self.store.status()
    }

    /// The file.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("passwords");
    /// # std::fs::write(&path, "alice=secret\n")?;
    /// assert_eq!(zmq_auth::PasswordFile::open(&path)?.path(), path);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// From now on, follows the disk by itself, as [`KeyDirectory::watch`](crate::KeyDirectory::watch) does: the file's
    /// directory is watched, and a stat of the file is taken twice a second.
    ///
    /// # Errors
    /// [`Error::Io`] where the system can't watch the file's directory, or there is no thread to be had.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("passwords");
    /// # std::fs::write(&path, "alice=secret\n")?;
    /// # let passwords = zmq_auth::PasswordFile::open(&path)?;
    /// passwords.watch()?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    #[cfg(feature = "watch")]
    pub fn watch(&self) -> Result<()> {
        self.store.watch()
    }

    /// Every problem of a file, in the order of its lines, where [`open`](Self::open) stops at the first; none for a file
    /// that it opens. The first is the error of `open`.
    ///
    /// ```
    /// # use zmq_auth::PasswordFile;
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("passwords");
    /// std::fs::write(&path, "alice\nbob=secret\nbob=another\n")?;
    /// let problems = PasswordFile::problems(&path);
    /// assert!(problems[0].to_string().contains("passwords:1: has no ="));
    /// assert!(problems[1].to_string().contains("passwords:3: has a user name that an earlier line has too"));
    /// assert_eq!(problems.len(), 2);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn problems(path: impl AsRef<Path>) -> Vec<Error> {
        let path = path.as_ref();
        match read_file(path, fault) {
            Ok(content) => {
                let errors = parse::errors(&content).into_iter();
                errors.map(|(line, problem)| fault(path, Some(line), problem)).collect()
            }
            Err(error) => vec![error],
        }
    }

    /// Makes a line with a hashed password, without its line feed: argon2id with `m=19456` (19 MiB), `t=2`, `p=1` and a
    /// new salt from the system.
    ///
    /// # Errors
    /// [`Error::PlainCredentials`] for a user name that a line can't hold (empty, more than 255 bytes, with `=`, a line
    /// break or a NUL, or that begins with `#`), a password that no client can send, and where the system has no random
    /// numbers or no memory.
    ///
    /// ```
    /// # use zmq_auth::{Password, PasswordFile};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("passwords");
    /// let line = PasswordFile::line("alice", &Password::from("correct horse battery staple"))?;
    /// assert!(line.starts_with("alice=$argon2id$v=19$m=19456,t=2,p=1$"));
    /// std::fs::write(&path, line + "\n")?;
    /// assert_eq!(PasswordFile::open(&path)?.status().entries, 1);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    #[cfg(feature = "argon2")]
    pub fn line(user: &str, password: &super::Password) -> Result<String> {
        parse::check_name(user).map_err(|problem| Error::PlainCredentials { what: "user name", problem })?;
        Ok(format!("{user}={}", password.hash()?))
    }

    pub(crate) fn observe(&self, observer: Weak<ReloadObserver>) {
        self.store.observe(observer);
    }

    /// Looks into the table in force. The lock is never held for long.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Arc<PasswordTable>) -> T) -> T {
        self.store.source().read(look)
    }
}

impl Default for Users {
    fn default() -> Self {
        let table = PasswordTable::new(UserList::default(), RandomState::default());
        Users { table: RwLock::new(Arc::new(table)), hasher: RandomState::default() }
    }
}

impl Source for Users {
    type Seen = SingleFile;
    const ENTRIES: &'static str = "users";

    fn reload(&self, path: &Path, seen: &mut SingleFile) -> Result<ReloadSummary> {
        self.read_file(path, seen, Reading::Again)
    }

    fn open(&self, path: &Path, seen: &mut SingleFile) -> Result<ReloadSummary> {
        self.read_file(path, seen, Reading::First)
    }

    fn unread(&self, seen: &SingleFile) -> Unread {
        seen.unread
    }

    fn entries(&self) -> usize {
        self.read(|table| table.len())
    }

    fn files(&self, _: &SingleFile) -> usize {
        1
    }

    // A file with a problem is an error as a whole.
    fn problems(&self, _: &SingleFile) -> Vec<StoreProblem> {
        Vec::new()
    }

    #[cfg(feature = "watch")]
    fn directory<'p>(&self, path: &'p Path) -> &'p Path {
        path.parent().unwrap_or(path)
    }

    #[cfg(feature = "watch")]
    fn has_changed_unseen(&self, path: &Path, seen: &mut SingleFile) -> bool {
        seen.has_changed(path)
    }
}

impl Users {
    fn read_file(&self, path: &Path, seen: &mut SingleFile, reading: Reading) -> Result<ReloadSummary> {
        let result = seen.compare(path, reading, fault, |content, _| {
            let lines = parse::parse(&content.bytes).map_err(|(line, problem)| fault(path, Some(line), problem))?;
            let mut users = UserList::default();
            for (name, stored) in lines {
                users.insert(&name, stored);
            }
            Ok(self.replace(self.table_of(users), content.may_change))
        });
        seen.warn_of_mode(path);
        result
    }

    pub(super) fn table_of(&self, users: UserList) -> PasswordTable {
        PasswordTable::new(users, self.hasher.clone())
    }

    /// `None`, and nothing is replaced, where something has changed that may not be.
    pub(super) fn replace(&self, table: PasswordTable, may_change: bool) -> Option<ReloadSummary> {
        let old = self.read(Arc::clone);
        let mut reload = ReloadSummary { read: 1, ..ReloadSummary::default() };
        for name in table.names() {
            match old.is_unchanged(&table, name) {
                None => reload.added += 1,
                Some(unchanged) => reload.changed += usize::from(!unchanged),
            }
        }
        reload.removed = old.names().filter(|name| !table.has(name)).count();
        if !reload.is_nothing() {
            if !may_change {
                return None;
            }
            let table = Arc::new(table);
            *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        }
        // `old` is what the lock has let go: freed here, not under it.
        Some(reload)
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Arc<PasswordTable>) -> T) -> T {
        look(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn fault(path: &Path, line: Option<usize>, problem: &'static str) -> Error {
    Error::PasswordFile { path: path.to_owned(), line, problem }
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordFile")
            .field("path", &self.path())
            .field("users", &self.read(|table| table.len()))
            .finish_non_exhaustive()
    }
}
