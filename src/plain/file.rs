//! A password file that follows the disk.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, Weak};

use foldhash::quality::RandomState;
use zeroize::Zeroizing;

use super::parse;
use super::table::{PasswordTable, UserList};
use crate::error::{Error, Result};
use crate::regular_file;
use crate::reload::{
    ReloadObserver, ReloadSummary, Source, Stamp, Stamper, Store, StoreProblem, StoreStatus, Unread, warn_of_directory,
};

/// The most that is read of a password file: 16 MiB.
const MAX_FILE: usize = 16 * 1024 * 1024;

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
struct Users {
    table: RwLock<Arc<PasswordTable>>,
    // One for the life of the store: the cost charged to an unknown user doesn't change at a reload.
    hasher: RandomState,
}

/// The file as it was when it was last read.
struct FileState {
    stamper: Stamper,
    stamp: Stamp,
    /// It could not be used: to be read again even if it is still the same.
    failed: bool,
    unread: Unread,
    warned_of: u32,
    warned_of_directory: u32,
}

/// Whether the file is read for the first time: then it is taken as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    First,
    Again,
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
        let table = PasswordTable::new(UserList::default(), RandomState::default());
        let users = Users { table: RwLock::new(Arc::new(table)), hasher: RandomState::default() };
        let seen = FileState {
            stamper: Stamper::new(),
            stamp: Stamp::NONE,
            failed: false,
            unread: Unread::Nothing,
            warned_of: 0,
            warned_of_directory: 0,
        };
        Ok(PasswordFile { store: Store::open(path.as_ref(), users, seen)? })
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
        match read(path) {
            Ok(Some((content, _))) => {
                let errors = parse::errors(&content).into_iter();
                errors.map(|(line, problem)| fault(path, Some(line), problem)).collect()
            }
            Ok(None) => vec![changed(path)],
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
        let refused = |what, problem| Error::PlainCredentials { what, problem };
        parse::check_name(user).map_err(|problem| refused("user name", problem))?;
        if let Some(problem) = super::problem(password.as_bytes()) {
            return Err(refused("password", problem));
        }
        let hash = super::hash::Phc::make(password).map_err(|problem| refused("password", problem))?;
        Ok(format!("{user}={hash}"))
    }

    pub(crate) fn observe(&self, observer: Weak<ReloadObserver>) {
        self.store.observe(observer);
    }

    /// Looks into the table in force. The lock is never held for long.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Arc<PasswordTable>) -> T) -> T {
        self.store.source().read(look)
    }
}

impl Source for Users {
    type Seen = FileState;
    const ENTRIES: &'static str = "users";

    fn reload(&self, path: &Path, seen: &mut FileState) -> Result<ReloadSummary> {
        self.read_file(path, seen, Reading::Again)
    }

    fn open(&self, path: &Path, seen: &mut FileState) -> Result<ReloadSummary> {
        self.read_file(path, seen, Reading::First)
    }

    fn unread(&self, seen: &FileState) -> Unread {
        seen.unread
    }

    fn entries(&self) -> usize {
        self.read(|table| table.len())
    }

    fn files(&self, _: &FileState) -> usize {
        1
    }

    // A file with a problem is an error as a whole.
    fn problems(&self, _: &FileState) -> Vec<StoreProblem> {
        Vec::new()
    }

    #[cfg(feature = "watch")]
    fn directory<'p>(&self, path: &'p Path) -> &'p Path {
        path.parent().unwrap_or(path)
    }

    #[cfg(feature = "watch")]
    fn has_changed_unseen(&self, path: &Path, seen: &mut FileState) -> bool {
        seen.stamper.start();
        match fs::metadata(path) {
            Ok(metadata) => !seen.stamp.is_still(seen.stamper.stamp(&metadata)),
            // Reported once.
            Err(_) => !seen.failed,
        }
    }
}

impl Users {
    fn read_file(&self, path: &Path, seen: &mut FileState, reading: Reading) -> Result<ReloadSummary> {
        warn_of_directory(path.parent().unwrap_or(path), true, &mut seen.warned_of_directory);
        seen.unread = Unread::Nothing;
        // Until it is clear that it hasn't, it has.
        let had_failed = std::mem::replace(&mut seen.failed, true);
        let result = self.compare(path, seen, had_failed, reading);
        seen.failed = result.is_err();
        result
    }

    fn compare(&self, path: &Path, seen: &mut FileState, failed: bool, reading: Reading) -> Result<ReloadSummary> {
        seen.stamper.start();
        let opened = |source| Error::Io { path: path.to_owned(), action: "open", source };
        let now = seen.stamper.stamp(&fs::metadata(path).map_err(opened)?);
        if !failed && seen.stamp.is_still(now) {
            return Ok(ReloadSummary::default());
        }
        seen.stamp = Stamp::NONE;
        let Some((content, metadata)) = read(path)? else {
            seen.unread = Unread::Something;
            return Err(changed(path));
        };
        seen.stamp = seen.stamper.stamp(&metadata);
        warn(path, metadata.permissions().mode(), &mut seen.warned_of);
        let lines = parse::parse(&content).map_err(|(line, problem)| fault(path, Some(line), problem))?;
        let mut users = UserList::default();
        for (name, stored) in lines {
            users.insert(&name, stored);
        }
        let may_be_half = reading == Reading::Again
            && !content.is_empty()
            && !content.ends_with(b"\n")
            && seen.stamper.is_fresh(&metadata);
        self.replace(PasswordTable::new(users, self.hasher.clone()), !may_be_half).ok_or_else(|| {
            (seen.stamp, seen.unread) = (Stamp::NONE, Unread::Something);
            let line = content.split(|byte| *byte == b'\n').count();
            fault(
                path,
                Some(line),
                "has no line feed at its end, and the file was changed less than 2 s ago: half of it?",
            )
        })
    }

    /// `None`, and nothing is replaced, where something has changed that may not be.
    fn replace(&self, table: PasswordTable, may_change: bool) -> Option<ReloadSummary> {
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

    fn read<T>(&self, look: impl FnOnce(&Arc<PasswordTable>) -> T) -> T {
        look(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The whole content, and the file as it was just before; `None` for one that was changed meanwhile. The buffer never
/// grows: growing would leave passwords behind.
fn read(path: &Path) -> Result<Option<(Zeroizing<Vec<u8>>, fs::Metadata)>> {
    let failed = |action| move |source| Error::Io { path: path.to_owned(), action, source };
    let opened = regular_file::open(path, false).map_err(failed("open"))?;
    let (file, metadata) = opened.ok_or_else(|| fault(path, None, "is not a regular file"))?;
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if size > MAX_FILE {
        return Err(fault(path, None, "is larger than 16 MiB"));
    }
    let mut content = Zeroizing::new(vec![0; size + 1]);
    let length = regular_file::fill(&file, &mut content, metadata.len()).map_err(failed("read"))?;
    if length > size || !regular_file::is_unchanged(&file, &metadata).map_err(failed("read"))? {
        return Ok(None);
    }
    content.truncate(length);
    Ok(Some((content, metadata)))
}

/// Once for each mode.
fn warn(path: &Path, mode: u32, warned_of: &mut u32) {
    let mode = mode & 0o777;
    if mode & 0o077 != 0 && *warned_of != mode {
        log_warn!("{path:?} holds passwords, and others than its owner have access (mode {mode:03o}): chmod 600");
    }
    *warned_of = mode;
}

fn changed(path: &Path) -> Error {
    fault(path, None, "was changed while it was read")
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
