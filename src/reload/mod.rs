//! Reloading: what the stores that follow the disk have in common, and what they and pushed credentials report.

mod report;
mod single_file;
mod stamp;
mod store;
mod warnings;
#[cfg(feature = "watch")]
mod watch;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::error::Error;
use crate::escape::EscapedPath;
pub(crate) use report::{Observers, ReloadEvent, ReloadObserver, Standing};
#[cfg(feature = "policy")]
pub(crate) use single_file::FileContent;
pub(crate) use single_file::{Reading, SingleFile, read_file};
pub(crate) use stamp::{Identity, Stamp, Stamper, identity};
pub(crate) use store::{Source, Store, Unread};
pub(crate) use warnings::warn_of_directory;

/// The result of a reload or a push. It counts files of a [`KeyDirectory`](crate::KeyDirectory), users of a
/// [`PasswordFile`](crate::PasswordFile), keys or users of [`PushedCredentials`](crate::PushedCredentials).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # zmq_auth::create_certificates(&dir, "alice")?;
/// let keys = zmq_auth::KeyDirectory::open(&dir)?;
/// zmq_auth::create_certificates(&dir, "bob")?;
/// assert_eq!(keys.reload()?.added, 1);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadSummary {
    /// New ones, and those that could be read for the first time.
    pub added: usize,
    /// Those whose content differs from before.
    pub changed: usize,
    /// Those that are gone.
    pub removed: usize,
    /// Files that were opened and read; a stat was enough for the others.
    pub read: usize,
    /// Files that can't be used as they are now.
    pub problems: usize,
}

impl ReloadSummary {
    /// The sum of two reloads.
    pub(super) fn followed_by(self, next: Self) -> Self {
        ReloadSummary {
            added: self.added + next.added,
            changed: self.changed + next.changed,
            removed: self.removed + next.removed,
            read: self.read + next.read,
            problems: next.problems,
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        (self.added, self.changed, self.removed) == (0, 0, 0)
    }
}

/// The current state of a store, from [`KeyDirectory::status`](crate::KeyDirectory::status) or
/// [`PasswordFile::status`](crate::PasswordFile::status).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # zmq_auth::create_certificates(&dir, "alice")?;
/// let status = zmq_auth::KeyDirectory::open(&dir)?.status();
/// assert_eq!((status.entries, status.files), (1, 1));
/// assert!(status.problems.is_empty() && !status.watched);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StoreStatus {
    /// The number of accepted keys or users.
    pub entries: usize,
    /// The number of files, including those with a problem.
    pub files: usize,
    /// When it was last compared with the disk, successfully or not.
    pub last_reload: Option<SystemTime>,
    /// The number of comparisons with the disk, including the first.
    pub reloads: u64,
    /// The number of files opened and read in total.
    pub files_read: u64,
    /// Whether it follows the disk by itself.
    pub watched: bool,
    /// Since when it has been behind the disk: something could not be read (no descriptor left, no permission, a directory
    /// that can't be listed), or is still being written. The previous content stays accepted, possibly including a key that
    /// was removed meanwhile. `None` once it has caught up. A watched store retries twice a second, others at the next
    /// reload. With the feature `metrics`, the gauge `zmq_auth_stores_behind` counts such stores.
    ///
    /// A file that was read but can't be used, such as a certificate with a bad key, only appears in `problems`.
    pub behind_since: Option<SystemTime>,
    /// What can't be used as it is now. If an earlier version could, that stays accepted.
    pub problems: Vec<StoreProblem>,
}

/// A file that can't be used as it is. Its content is never quoted.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let keys = zmq_auth::KeyDirectory::open(&dir)?;
/// std::fs::write(dir.path().join("short.key"), "curve\n    public-key = \"short\"\n")?;
/// assert_eq!(keys.reload()?.problems, 1);
/// assert_eq!(keys.status().problems[0].line, Some(2));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreProblem {
    /// The file; or the directory, if it can't be listed.
    pub file: PathBuf,
    /// The line, counted from 1, if one is to blame.
    pub line: Option<usize>,
    /// The problem.
    pub what: String,
}

impl StoreProblem {
    pub(crate) fn new(error: &Error, fallback: &Path) -> Self {
        match error {
            Error::Certificate { path, line, problem } | Error::PasswordFile { path, line, problem } => {
                StoreProblem { file: path.clone(), line: *line, what: (*problem).to_owned() }
            }
            #[cfg(feature = "policy")]
            Error::PolicyFile { path, place, problem } => {
                StoreProblem { file: path.clone(), line: place.map(|place| place.0), what: problem.clone() }
            }
            Error::Io { path, action, source } => {
                StoreProblem { file: path.clone(), line: None, what: format!("cannot {action}: {source}") }
            }
            other => StoreProblem { file: fallback.to_owned(), line: None, what: other.to_string() },
        }
    }
}

/// Reads like the error for the same file.
impl fmt::Display for StoreProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", EscapedPath(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Locks a mutex. No caller's code runs under these locks, so a poisoned one protects nothing that is half changed.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
