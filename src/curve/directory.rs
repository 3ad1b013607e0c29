//! A directory of client certificates that follows the disk.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Weak};

use super::scan::{Changes, Files, Refreshed};
use super::table::KeyTable;
use crate::certificate::KeyInfo;
use crate::error::Result;
use crate::keys::PublicKey;
use crate::reload::{ReloadObserver, ReloadSummary, Source, Store, StoreProblem, StoreStatus, Unread};

/// The client keys of a directory's `*.key` files, which follow the disk: by [`reload`](Self::reload), or by themselves
/// after `watch` (feature `watch`). A clone is a handle on the same store; several domains and several
/// [`Authenticator`](crate::Authenticator)s may use one.
///
/// What a reload does:
/// - A stat of each file (inode, size, times) tells whether it has to be read again; a file that was changed less than
///   2 s before it was read, or has a time in the future, is read again in any case. One change among 100,000 files reads
///   one file.
/// - All of it is in force at once, for every handshake that begins afterwards. Connected clients stay connected.
/// - **A bad file never empties the store.** What it said before stays in force, and what is wrong is told in the log
///   (once), in [`status`](Self::status) and in an event. So a key is taken back by **removing its file**, not by emptying
///   it. A new file that is bad lets nobody in.
/// - A directory that has vanished or can't be listed is an error, and all stays as it was.
/// - While something can't be read, the store is behind the disk: [`status`](Self::status), an event and the log say so
///   until it has caught up. One descriptor is kept for a reload when there is no other.
/// - Replace a file by a rename, not in place. A file without a line feed at its end may be half-written: a reload takes it
///   only when it was left alone for 2 s.
/// - A file or directory that others than its owner may write, and a file with a secret key in it, is warned about once.
///   The directories above it aren't looked at.
/// - Two hard links to one file are two files with one key: the key goes with the last of them.
/// - Two files with one key are one key, until the last of them is removed; of their metadata, that of the first file (by
///   name) that has any is used. Symbolic links are followed. Hidden files and directories below are no certificates.
///
/// A store takes about 120 to 170 bytes for each key, plus its metadata.
///
/// ```
/// use zmq_auth::{Authenticator, KeyDirectory};
///
/// let dir = tempfile::tempdir()?;
/// zmq_auth::create_certificates(&dir, "alice")?;
/// let keys = KeyDirectory::open(&dir)?;
/// let auth = Authenticator::new();
/// auth.configure_curve_store("lab", &keys)?;
///
/// zmq_auth::create_certificates(&dir, "bob")?;
/// assert_eq!(keys.reload()?.added, 1); // or once: keys.watch()?
/// assert_eq!(keys.status().entries, 2);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone)]
pub struct KeyDirectory {
    store: Store<KeyTable>,
}

impl KeyDirectory {
    /// Reads a directory. An empty one is legal, and lets nobody in.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it can't be listed. At this first reading a bad file is an error too, [`Error::Io`](crate::Error::Io) or
    /// [`Error::Certificate`](crate::Error::Certificate), which names it: one that [`Certificate::load`](crate::Certificate::load) refuses, or whose
    /// `not-before` or `not-after` is no RFC 3339 time.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let keys = zmq_auth::KeyDirectory::open(&dir)?;
    /// assert_eq!(keys.status().entries, 0);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(KeyDirectory { store: Store::open(path.as_ref(), KeyTable::default(), Files::default())? })
    }

    /// Compares with the disk, and puts in force what has changed. What can't be read is no `Err` but counted in
    /// [`ReloadSummary::problems`] and told in [`status`](Self::status).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the directory can't be listed; all stays as it was.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let (file, _) = zmq_auth::create_certificates(&dir, "alice")?;
    /// let keys = zmq_auth::KeyDirectory::open(&dir)?;
    /// std::fs::remove_file(file)?;
    /// assert_eq!(keys.reload()?.removed, 1);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn reload(&self) -> Result<ReloadSummary> {
        self.store.reload()
    }

    /// What it holds now, and what can't be used.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let keys = zmq_auth::KeyDirectory::open(&dir)?;
    /// for problem in keys.status().problems {
    ///     eprintln!("{problem}");
    /// }
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn status(&self) -> StoreStatus {
        self.store.status()
    }

    /// The directory.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// assert_eq!(zmq_auth::KeyDirectory::open(&dir)?.path(), dir.path());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// From now on, follows the disk by itself: what is added, changed, removed or replaced is in force within a second
    /// (mostly within 150 ms, and the time that listing the directory takes).
    ///
    /// It costs two threads, one of them the system's file watcher's, which end when the last handle on the store is
    /// dropped. A directory that is removed, or replaced by another one, is followed as soon as there is one of that name
    /// again; until then its keys stay in force, and [`status`](Self::status) tells. Changes that the system doesn't tell
    /// of (a file written in place on another machine's disk) need a [`reload`](Self::reload); those behind a
    /// symbolic link are looked for twice a second. Calling it again is no harm.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where the system can't watch the directory, or there is no thread to be had.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// let keys = zmq_auth::KeyDirectory::open(&dir)?;
    /// keys.watch()?;
    /// assert!(keys.status().watched);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    #[cfg(feature = "watch")]
    pub fn watch(&self) -> Result<()> {
        self.store.watch()
    }

    pub(crate) fn observe(&self, observer: Weak<ReloadObserver>) {
        self.store.observe(observer);
    }

    /// From now on, knows the names of the files: about 80 bytes more for each key.
    pub(crate) fn keep_file_names(&self) {
        self.store.with_seen(|keys, files| {
            if !keys.keeps_names() {
                keys.set_names(files.file_names());
            }
        });
    }

    pub(super) fn file_name(&self, key: &PublicKey) -> Option<Box<str>> {
        self.store.source().file_name(key)
    }

    /// `None` for a key that isn't accepted. One lock, which is never held for long, and one look-up.
    pub(super) fn look_up(&self, key: &PublicKey) -> Option<Option<Arc<KeyInfo>>> {
        self.store.source().get(key)
    }
}

impl Source for KeyTable {
    type Seen = Files;
    const ENTRIES: &'static str = "certificates";

    fn reload(&self, path: &Path, files: &mut Files) -> Result<ReloadSummary> {
        files.refresh(path).map(|refreshed| self.put_in_force(files, refreshed))
    }

    fn open(&self, path: &Path, files: &mut Files) -> Result<ReloadSummary> {
        files.open(path).map(|refreshed| self.put_in_force(files, refreshed))
    }

    fn entries(&self) -> usize {
        self.len()
    }

    fn files(&self, files: &Files) -> usize {
        files.len()
    }

    fn problems(&self, files: &Files) -> Vec<StoreProblem> {
        files.problems()
    }

    fn unread(&self, files: &Files) -> Unread {
        files.unread()
    }

    #[cfg(feature = "watch")]
    fn directory<'p>(&self, path: &'p Path) -> &'p Path {
        path
    }

    #[cfg(feature = "watch")]
    fn has_changed_unseen(&self, path: &Path, files: &mut Files) -> bool {
        /// About 10 ms of stats.
        const LINKS: usize = 10_000;
        files.links_changed(path, LINKS)
    }
}

impl KeyTable {
    fn put_in_force(&self, files: &mut Files, refreshed: Refreshed) -> ReloadSummary {
        // Before the keys: a key in force has its name. A name may change without its key.
        if self.keeps_names() {
            self.set_names(files.file_names());
        }
        match refreshed.changes {
            Changes::Some(changes) => self.apply(changes),
            Changes::All(keys) => self.replace(keys),
        }
        files.are_in_force();
        refreshed.summary
    }
}

impl fmt::Debug for KeyDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyDirectory")
            .field("path", &self.path())
            .field("keys", &self.store.source().len())
            .finish_non_exhaustive()
    }
}
