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

/// The users and passwords of a file that follows the disk: on [`reload`](Self::reload), or by itself after `watch` (feature
/// `watch`). Clones are handles on the same store.
///
/// Replace the file by a rename, don't write it in place: a reload reads whatever is there. A last line without a line feed
/// shows that a file may be half-written: a reload refuses such a file until it has been unchanged for 2 s
/// ([`open`](Self::open) accepts it at once).
///
/// The file has lines `name=password`, as czmq reads them: the password is everything after the first `=`, including
/// blanks. Blank lines and lines that start with `#` are skipped; lines may end in CRLF. The mode should be 0600: a file that
/// others can read is warned about, and so is a directory in which others could replace it.
///
/// A password may be hashed: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, a PHC string, as `line` makes it (feature `argon2`;
/// at most `m=65536`, that is 64 MiB, `t=10`, `p=16`). One file may have clear and hashed passwords.
///
/// A value that looks like a hash but can't be checked as one is an error, never a clear password. That is, after leading
/// blanks and signs: `$name$…` (crypt), `{scheme}…` (LDAP), the name of an algorithm followed by `$` or `:`
/// (`pbkdf2_sha256$…`), or exactly 32, 40, 56, 64, 96 or 128 hexadecimal digits (MD5, SHA); and anywhere, marks such as
/// `$argon2` or `$2y$`. So is a user name that contains a hash, as in `alice:$argon2id$v=19$…`. A clear password that looks
/// like this, such as 32 random hexadecimal digits, must be hashed. What can't be told from a password is taken as one: the
/// base64 of a digest, and the 13 characters of DES crypt.
///
/// # What hashing costs
///
/// As soon as one password of the file is hashed, **every** PLAIN client of its domains costs one hash (about 20 ms and
/// 19 MiB with the parameters above), whether the user exists or not, so that a client can't find out which users exist.
/// Hashes are computed on separate threads, not those of callbacks, and the handler goes on deciding. The whole process
/// computes at most 4 at once (fewer on fewer cores), so they use at most 256 MiB. Others wait, at most 64 of a domain;
/// policies, domains and addresses take turns, weighted by the cost of their hashes. A client that can't be decided by its
/// deadline (that of [`limit_callbacks`](crate::Authenticator::limit_callbacks)) gets 300 at once, and retries after
/// `ZMQ_HANDSHAKE_IVL`. [`handle_zap_message`](crate::Authenticator::handle_zap_message) also waits for its turn.
///
/// # Errors of a file
///
/// One error in a file rejects the whole file; the error has the line (never its content), and the previous users stay:
/// see [`status`](Self::status).
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

/// The current table.
pub(super) struct Users {
    table: RwLock<Arc<PasswordTable>>,
    // One for the life of the store, so that a reload doesn't change the cost charged to an unknown user.
    hasher: RandomState,
}

impl PasswordFile {
    /// Reads a file. An empty file is legal, and accepts nobody.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be read. [`Error::PasswordFile`], with the line, if it isn't a regular file, is larger than
    /// 16 MiB, or has a line without `=`, a user twice, a name or password that is empty or longer than 255 bytes, a name
    /// that isn't UTF-8, or a value that looks like a hash and can't be checked.
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

    /// Compares the store with the disk and applies all changes at once. Connected clients stay connected.
    ///
    /// A stat decides whether the file must be read again. A file that was changed less than 2 s before it was last read, or
    /// has a time in the future, is always read again.
    ///
    /// # Errors
    /// As [`open`](Self::open), and for a file that is being written: nothing changes.
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

    /// What the store holds now, and what is wrong with the file.
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

    /// The file's path.
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

    /// Follows the disk from now on, as [`KeyDirectory::watch`](crate::KeyDirectory::watch) does: watches the file's
    /// directory, and stats the file twice a second.
    ///
    /// # Errors
    /// [`Error::Io`] if the system can't watch the file's directory or start a thread.
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

    /// Every problem of a file, in the order of its lines; empty for a file that [`open`](Self::open) accepts. The first is
    /// the error that `open` returns.
    ///
    /// ```
    /// # use zmq_auth::PasswordFile;
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("passwords");
    /// std::fs::write(&path, "alice\nbob=secret\nbob=another\n")?;
    /// let problems = PasswordFile::problems(&path);
    /// assert!(problems[0].to_string().contains("passwords:1: has no ="));
    /// assert!(problems[1].to_string().contains("passwords:3: has the same user name as an earlier line"));
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

    /// Makes a line with a hashed password, without a line feed: argon2id with `m=19456` (19 MiB), `t=2`, `p=1` and a new
    /// random salt.
    ///
    /// # Errors
    /// [`Error::PlainCredentials`] for a user name that a line can't contain (empty, longer than 255 bytes, with `=`, a line
    /// break or a NUL, or starting with `#`), for a password that no client can send, and if the system has no random
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

    /// Reads the current table. The lock is only ever held for a short time.
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

    // One problem rejects the whole file.
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

    /// Returns `None`, without replacing anything, if something has changed that must not.
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
        // `old`, taken out under the lock, is freed here, after it.
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
