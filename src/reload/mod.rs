//! Reloading: sources of keys and passwords that follow the disk, and what they and pushed ones report.

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

/// What a reload found, or what was pushed. Files of a [`KeyDirectory`](crate::KeyDirectory), users of a
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
    /// How many are new, or could be read for the first time.
    pub added: usize,
    /// How many say something else than before.
    pub changed: usize,
    /// How many are gone.
    pub removed: usize,
    /// How many files were opened and read; for all others a stat was enough.
    pub read: usize,
    /// How many files can't be used as they are now.
    pub problems: usize,
}

impl ReloadSummary {
    /// Both in one, of two reloads.
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

/// A store as it is now, from [`KeyDirectory::status`](crate::KeyDirectory::status) or
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
    /// How many are let in: different keys, or users.
    pub entries: usize,
    /// How many files there are, those with a problem included.
    pub files: usize,
    /// When it was last compared with the disk, whatever came of it.
    pub last_reload: Option<SystemTime>,
    /// How often it was compared with the disk, the opening included.
    pub reloads: u64,
    /// How many files were opened and read in all.
    pub files_read: u64,
    /// Whether it follows the disk by itself.
    pub watched: bool,
    /// Since when it is behind the disk: something there could not be read (no descriptor left, no permission, a directory
    /// that can't be listed), or is still being written. What was in force before stays so; a key that was removed
    /// meanwhile may be among it. `None` as soon as it has caught up. A watched store tries again twice a second, others
    /// at the next reload. With the feature `metrics`, the gauge `zmq_auth_stores_behind` counts such stores.
    ///
    /// A file that was read and can't be used, such as a certificate with a bad key, is in `problems` alone.
    pub behind_since: Option<SystemTime>,
    /// What can't be used as it is now; where it could be before, that is still in force.
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
    /// The file; the directory, where that can't be listed.
    pub file: PathBuf,
    /// The line, counted from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong.
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

/// As the error of the same file reads.
impl fmt::Display for StoreProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", EscapedPath(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// No code of a caller runs under these locks, so that nothing is half done where one was poisoned.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
