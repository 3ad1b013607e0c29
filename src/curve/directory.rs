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

/// The client keys of a directory's `*.key` files, which follows the disk: on [`reload`](Self::reload), or by itself after
/// `watch` (feature `watch`). Clones are handles on the same store; several domains and several
/// [`Authenticator`](crate::Authenticator)s may share one.
///
/// - A reload stats each file (inode, size, times) to find out whether it must be read again. A file that was changed less
///   than 2 s before it was last read, or has a time in the future, is always read again. After one change among
///   100,000 files, a reload reads only that file.
/// - All changes are applied at once, to every handshake that begins afterwards. Connected clients stay connected.
/// - **A bad file never empties the store.** Its previous key stays accepted, and the problem is reported in the log (once),
///   in [`status`](Self::status) and in an event. A new file that is bad accepts nobody.
/// - **To revoke a key, remove its file.** Emptying it isn't enough.
/// - If the directory has vanished or can't be listed, that is an error, and nothing changes.
/// - While something can't be read, the store is behind the disk; [`status`](Self::status), an event and the log say so
///   until it has caught up. The store reserves a descriptor, so that it can reload when there is no other.
/// - Replace a file by a rename, don't write it in place. A file without a final line feed may be half-written: a reload
///   ignores it until it has been unchanged for 2 s.
/// - One warning is logged for each file or directory that users other than its owner can write, and for each file with a
///   secret key. Parent directories aren't checked.
/// - Two files with one key, hard links included, are one key, until the last of them is removed. Its metadata is that of
///   the first file (by name) that has any. Symbolic links are followed. Hidden files and subdirectories are ignored.
///
/// A store takes about 120 to 170 bytes for each key, plus metadata.
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
    /// Reads a directory. An empty one is legal, and accepts nobody.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it can't be listed. In this first read, a bad file is an error too,
    /// [`Error::Io`](crate::Error::Io) or [`Error::Certificate`](crate::Error::Certificate), which names it: one that
    /// [`Certificate::load`](crate::Certificate::load) refuses, or whose `not-before` or `not-after` isn't an RFC 3339 time.
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

    /// Compares the store with the disk and applies all changes at once. A file that can't be read is not an `Err`: it is
    /// counted in [`ReloadSummary::problems`] and listed in [`status`](Self::status).
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the directory can't be listed; nothing changes.
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

    /// What the store holds now, and what can't be used.
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

    /// The directory's path.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// assert_eq!(zmq_auth::KeyDirectory::open(&dir)?.path(), dir.path());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Follows the disk from now on: what is added, changed, removed or replaced applies within 150 ms, or, for a large
    /// directory, within twice the time of a reload (0.4 s for 100,000 files).
    ///
    /// It costs two threads, one of them of the `notify` crate, which end when the last handle on the store is
    /// dropped. If the directory is removed or replaced, the new one is followed as soon as it exists; until then the keys
    /// stay accepted, and [`status`](Self::status) says so. Changes that the system doesn't report (a file written in place
    /// on another machine's disk) need a [`reload`](Self::reload); files behind symbolic links are checked twice a second.
    /// Calling it again does nothing.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the system can't watch the directory or start a thread.
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

    /// Keeps the names of the files from now on: about 80 bytes more for each key.
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

    /// `None` for a key that isn't accepted, `Some(None)` for one without metadata. It takes one short lock and one look-up.
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
        // Before the keys, so that an accepted key always has its name. A name may change without its key.
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
