//! The handle on a source that follows the disk, which key directories, password files and policy files share.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use super::report::{ReloadEvent, ReloadObserver, ReloadResult, Report};
use super::{ReloadSummary, StoreProblem, StoreStatus, lock};
use crate::error::{Error, Result};
#[cfg(feature = "watch")]
use crate::escape::EscapedPath;

/// A source on disk that is read again when it changes.
pub(crate) trait Source: Send + Sync + 'static {
    /// What is remembered about the disk from one reload to the next.
    type Seen: Send + 'static;
    /// What the source holds, in the plural.
    const ENTRIES: &'static str;

    /// Compares with the disk, and applies what has changed; on an error nothing changes.
    fn reload(&self, path: &Path, seen: &mut Self::Seen) -> Result<ReloadSummary>;

    /// The first read, in which a problem of a single file is an error too.
    fn open(&self, path: &Path, seen: &mut Self::Seen) -> Result<ReloadSummary>;

    /// Called after each reload, with no lock held.
    fn reload_ended(&self) {}

    /// The number of accepted keys or users.
    fn entries(&self) -> usize;

    /// The number of files, including those with a problem.
    fn files(&self, seen: &Self::Seen) -> usize;

    /// The problems of single files, sorted by name.
    fn problems(&self, seen: &Self::Seen) -> Vec<StoreProblem>;

    /// What the last reload could not read, apart from its error.
    fn unread(&self, seen: &Self::Seen) -> Unread;

    /// The directory to watch.
    #[cfg(feature = "watch")]
    fn directory<'p>(&self, path: &'p Path) -> &'p Path;

    /// Whether something has changed for which the system reports no event, such as the target of a symbolic link.
    #[cfg(feature = "watch")]
    fn has_changed_unseen(&self, path: &Path, seen: &mut Self::Seen) -> bool;
}

/// What a reload could not read for a reason that may pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unread {
    #[default]
    Nothing,
    Something,
    /// Something, for lack of a descriptor.
    NoDescriptor,
}

impl Unread {
    /// A system error may be gone next time; a problem of a file's content stays until the file changes.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::Io { source, .. } => match source.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE) => Unread::NoDescriptor,
                _ => Unread::Something,
            },
            _ => Unread::Nothing,
        }
    }
}

/// A shared handle on a source, with its status and its observers.
pub(crate) struct Store<S: Source>(Arc<Inner<S>>);

pub(super) struct Inner<S: Source> {
    path: PathBuf,
    source: S,
    // Held for the whole of a reload, so that reloads are reported in order.
    seen: Mutex<S::Seen>,
    report: Report,
    /// A descriptor in reserve, given up for a reload that can't get one otherwise. Without it, strangers who use up all
    /// descriptors, with connections that need no credentials, would keep revoked keys accepted. Locked by the holder of
    /// `seen`.
    spare: Mutex<Option<File>>,
    #[cfg(feature = "watch")]
    watch: Mutex<Option<super::watch::Watch>>,
}

impl<S: Source> Store<S> {
    pub(crate) fn open(path: &Path, source: S, mut seen: S::Seen) -> Result<Self> {
        // Absolute, because the program may change its working directory.
        let absolute = std::path::absolute(path);
        let path = absolute.map_err(|source| Error::Io { path: path.to_owned(), action: "open", source })?;
        let summary = source.open(&path, &mut seen)?;
        let inner = Inner {
            path,
            source,
            seen: Mutex::new(seen),
            report: Report::default(),
            spare: Mutex::new(spare()),
            #[cfg(feature = "watch")]
            watch: Mutex::default(),
        };
        inner.record(&lock(&inner.seen), Ok(summary), Unread::Nothing);
        Ok(Store(Arc::new(inner)))
    }

    pub(crate) fn source(&self) -> &S {
        &self.0.source
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    pub(crate) fn status(&self) -> StoreStatus {
        self.0.report.status()
    }

    pub(crate) fn reload(&self) -> Result<ReloadSummary> {
        self.0.reload()
    }

    #[cfg(feature = "watch")]
    pub(crate) fn watch(&self) -> Result<()> {
        let mut watch = lock(&self.0.watch);
        if watch.as_ref().is_none_or(|watch| !watch.is_running()) {
            self.0.report.set_watched(true);
            let started = super::watch::Watch::start(&self.0);
            self.0.report.set_watched(started.is_ok());
            *watch = Some(started?);
        }
        Ok(())
    }

    /// Runs with what is remembered about the disk. No reload happens meanwhile.
    pub(crate) fn with_seen<T>(&self, look: impl FnOnce(&S, &S::Seen) -> T) -> T {
        look(&self.0.source, &lock(&self.0.seen))
    }

    /// Calls the observer after each reload that changed something, while the observer lives.
    pub(crate) fn observe(&self, observer: Weak<ReloadObserver>) {
        self.0.report.observers.add(observer);
    }
}

impl<S: Source> Clone for Store<S> {
    fn clone(&self) -> Self {
        Store(self.0.clone())
    }
}

impl<S: Source> Inner<S> {
    fn reload(&self) -> Result<ReloadSummary> {
        let (event, result) = {
            let mut seen = lock(&self.seen);
            let (result, unread) = self.read(&mut seen);
            let outcome = result.as_ref().copied().map_err(|error| StoreProblem::new(error, &self.path));
            (self.record(&seen, outcome, unread), result)
        };
        self.source.reload_ended();
        if let Some(event) = event {
            self.report.observers.publish(&event);
        }
        result
    }

    /// Reads, with the spare descriptor if there is no other.
    fn read(&self, seen: &mut S::Seen) -> (Result<ReloadSummary>, Unread) {
        let mut spare = lock(&self.spare);
        let mut read = || {
            let result = self.source.reload(&self.path, seen);
            let unread = result.as_ref().err().map(Unread::of).unwrap_or_default().max(self.source.unread(seen));
            (result, unread)
        };
        let (mut result, mut unread) = read();
        if unread == Unread::NoDescriptor && spare.take().is_some() {
            let (second, left) = read();
            unread = left;
            result = match (result, second) {
                (Ok(first), Ok(second)) => Ok(first.followed_by(second)),
                (Ok(first), Err(_)) => Ok(first),
                (Err(_), second) => second,
            };
        }
        if spare.is_none() {
            *spare = self::spare();
        }
        (result, unread)
    }

    fn record(
        &self,
        seen: &S::Seen,
        outcome: Result<ReloadSummary, StoreProblem>,
        unread: Unread,
    ) -> Option<ReloadEvent> {
        let result = ReloadResult {
            what: S::ENTRIES,
            entries: self.source.entries(),
            files: self.source.files(seen),
            outcome,
            problems: self.source.problems(seen),
            behind: unread != Unread::Nothing,
        };
        self.report.record(&self.path, result)
    }
}

/// Any descriptor will do, and this file can always be opened.
fn spare() -> Option<File> {
    File::open("/").ok()
}

#[cfg(feature = "watch")]
impl<S: Source> super::watch::Watched for Inner<S> {
    fn directory(&self) -> &Path {
        self.source.directory(&self.path)
    }

    fn has_changed_unseen(&self) -> bool {
        self.source.has_changed_unseen(&self.path, &mut lock(&self.seen))
    }

    fn is_behind(&self) -> bool {
        self.report.is_behind()
    }

    fn watch_ended(&self) {
        self.report.set_watched(false);
        log_error!("{}: no longer watched: its thread has ended", EscapedPath(&self.path));
    }

    fn refresh(&self) {
        // An error is in the log and in the status.
        let _ = self.reload();
    }
}
