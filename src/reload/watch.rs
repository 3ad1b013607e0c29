//! The watch thread: reloads a store whenever the system reports a change on disk.
//!
//! ```text
//! system's watcher ── notify(lost) ──▶ changed = true, lost |= … ──▶ wake (at most one message) ──▶ thread
//!                                                                                                     │
//!                 a tick twice a second: directory replaced? store behind? a link's target changed? ──┤
//!                                                                                                     ▼
//!                                         debounce ──▶ changed = false ──▶ check_directory ──▶ reload
//! ```
//!
//! The flags are cleared *before* the disk is looked at. A change that comes later sets them again and causes another
//! reload, so that a change is never lost, only sometimes read twice.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::stamp::{Identity, identity};
use crate::error::{Error, Result};
use crate::foreign_code::{Panicked, contain};

/// A change is usually followed by more, which are then read together.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How often a stat checks that the watched directory is still the one of that name.
const TICK: Duration = Duration::from_millis(500);
/// The longest pause between two reloads of a store that keeps changing.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A store that follows the disk.
pub(super) trait Watched: Send + Sync + 'static {
    /// The directory to watch.
    fn directory(&self) -> &Path;
    /// Whether something has changed for which the system reports no event: files behind symbolic links.
    fn has_changed_unseen(&self) -> bool;
    /// Whether the last reload could not read everything, and must be retried.
    fn is_behind(&self) -> bool;
    /// Called if the thread ends although the store exists and nobody stopped it.
    fn watch_ended(&self);
    /// Compares with the disk.
    fn refresh(&self);
}

/// A running watch thread, stopped when dropped.
pub(super) struct Watch {
    stopping: Arc<AtomicBool>,
    wake: SyncSender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts watching, then reads everything again, so that no change in between is lost.
    pub(super) fn start<W: Watched>(store: &Arc<W>) -> Result<Self> {
        let directory = store.directory().to_owned();
        let failed = |action, source| Error::Io { path: directory.clone(), action, source };
        let (wake, woken) = sync_channel(1);
        let stopping = Arc::new(AtomicBool::new(false));
        let mut follower = WatchThread {
            signal: ChangeSignal { state: Arc::default(), wake: wake.clone() },
            woken,
            stopping: stopping.clone(),
            directory: directory.clone(),
            watcher: None,
            seen: None,
            store: Arc::downgrade(store),
            reloaded_in: Duration::ZERO,
            failure: None,
        };
        follower.watch().map_err(|source| failed("watch", source))?;
        store.refresh();
        let ended = EndOfWatch { store: Arc::downgrade(store), stopping: stopping.clone() };
        let run = move || {
            let _ended = ended;
            follower.run();
        };
        let thread = Builder::new().name("zmq-auth-watch".into()).spawn(run);
        let thread = thread.map_err(|source| failed("start a thread to watch", source))?;
        Ok(Watch { stopping, wake, thread: Some(thread) })
    }
}

impl Watch {
    pub(super) fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

/// Reports the end of the thread, for whatever reason.
struct EndOfWatch<W: Watched> {
    store: Weak<W>,
    stopping: Arc<AtomicBool>,
}

impl<W: Watched> Drop for EndOfWatch<W> {
    fn drop(&mut self) {
        if !self.stopping.load(Ordering::Acquire)
            && let Some(store) = self.store.upgrade()
        {
            store.watch_ended();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // If it is full, the thread wakes anyway.
        let _ = self.wake.try_send(());
        let Some(thread) = self.thread.take() else { return };
        // The thread itself may drop the last handle, at the end of a reload: it ends right after.
        if thread.thread().id() != std::thread::current().id() {
            let _ = thread.join();
        }
    }
}

/// Signals a change to the thread. The flags remember what happened; the channel holds one message at most, however many
/// events there are.
#[derive(Clone)]
struct ChangeSignal {
    state: Arc<SignalState>,
    wake: SyncSender<()>,
}

#[derive(Default)]
struct SignalState {
    changed: AtomicBool,
    /// The directory was removed or renamed, so that another one may have its name now, and must be watched instead.
    lost: AtomicBool,
}

impl ChangeSignal {
    fn notify(&self, lost: bool) {
        if lost {
            self.state.lost.store(true, Ordering::Release);
        }
        self.state.changed.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
    }
}

/// The state of the watch thread.
struct WatchThread<W> {
    store: Weak<W>,
    directory: PathBuf,
    signal: ChangeSignal,
    woken: Receiver<()>,
    stopping: Arc<AtomicBool>,
    /// `None` while there is no directory.
    watcher: Option<RecommendedWatcher>,
    /// The directory's state when it was last watched or checked.
    seen: Option<DirectoryState>,
    reloaded_in: Duration,
    failure: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DirectoryState {
    identity: Identity,
    /// The ctime, which changes whenever a name in the directory does.
    changed: (i64, i64),
}

impl DirectoryState {
    fn at(directory: &Path) -> Option<Self> {
        let metadata = fs::metadata(directory).ok().filter(fs::Metadata::is_dir)?;
        Some(DirectoryState { identity: identity(&metadata), changed: (metadata.ctime(), metadata.ctime_nsec()) })
    }
}

impl<W: Watched> WatchThread<W> {
    /// Runs until it is stopped. After a panic, everything is read again.
    fn run(mut self) {
        while contain(|| self.follow()) == Err(Panicked) {
            log_error!("{:?}: a panic while reading it; reading it again", self.directory);
            self.reloaded_in = LONGEST_PAUSE;
            self.signal.notify(true);
        }
    }

    fn follow(&mut self) {
        let mut next_tick = Instant::now() + TICK;
        loop {
            if !self.wait_until(next_tick) {
                return;
            }
            let reload = if self.signal.state.changed.load(Ordering::Acquire) {
                // Counts from the first event, so that a directory that never rests is still read.
                if !self.debounce() {
                    return;
                }
                self.signal.state.changed.store(false, Ordering::Release);
                self.check_directory();
                true
            } else if Instant::now() >= next_tick {
                // So a store that stays behind uses at most a fifth of a core.
                next_tick = Instant::now() + TICK.max(self.reloaded_in * 4).min(LONGEST_PAUSE - TICK);
                self.tick()
            } else {
                false
            };
            if reload && !self.reload() {
                return;
            }
        }
    }

    /// Waits for the signal, until `end` at most. Returns `false` when the thread must stop.
    fn wait_until(&self, end: Instant) -> bool {
        match self.woken.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        !self.stopping.load(Ordering::Acquire)
    }

    /// Pauses as long as a reload takes, within bounds, so that a directory that keeps changing uses at most half a core.
    fn debounce(&self) -> bool {
        let end = Instant::now() + self.reloaded_in.clamp(DEBOUNCE, LONGEST_PAUSE);
        while Instant::now() < end {
            if !self.wait_until(end) {
                return false;
            }
        }
        true
    }

    /// Whether there is something to read for which no event came.
    fn tick(&mut self) -> bool {
        let before = self.seen;
        self.check_directory();
        self.seen != before || self.store.upgrade().is_some_and(|store| store.is_behind() || store.has_changed_unseen())
    }

    /// Makes sure that the directory which has the name now is the one that is watched.
    fn check_directory(&mut self) {
        let now = DirectoryState::at(&self.directory);
        let which = |seen: Option<DirectoryState>| seen.map(|seen| seen.identity);
        let lost = self.signal.state.lost.swap(false, Ordering::AcqRel);
        if !lost && self.watcher.is_some() && which(now) == which(self.seen) {
            self.seen = now;
            return;
        }
        self.watcher = None;
        if now.is_none() {
            self.seen = None;
            return;
        }
        match self.watch() {
            Ok(()) => self.failure = None,
            Err(error) => {
                // The next tick still notices new, removed and renamed files.
                self.seen = now;
                let failure = error.to_string();
                if self.failure.as_ref() != Some(&failure) {
                    log_error!("{:?}: cannot watch: {failure}; checking it twice a second instead", self.directory);
                }
                self.failure = Some(failure);
            }
        }
    }

    fn watch(&mut self) -> io::Result<()> {
        let (signal, directory) = (self.signal.clone(), self.directory.clone());
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            match event {
                Ok(event) if !is_a_change(&event) => {}
                Ok(event) => signal.notify(is_about(&event, &directory)),
                // Events were lost.
                Err(_) => signal.notify(false),
            }
        })
        .map_err(io::Error::other)?;
        let seen = DirectoryState::at(&self.directory);
        watcher.watch(&self.directory, RecursiveMode::NonRecursive).map_err(io::Error::other)?;
        (self.watcher, self.seen) = (Some(watcher), seen);
        Ok(())
    }

    /// Reloads the store; returns `false` if it no longer exists.
    fn reload(&mut self) -> bool {
        let Some(store) = self.store.upgrade() else { return false };
        let start = Instant::now();
        store.refresh();
        self.reloaded_in = start.elapsed();
        true
    }
}

/// Whether an event is a change. Reading isn't, in particular our own; but if events were lost, one may have been.
fn is_a_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => event.need_rescan(),
        _ => true,
    }
}

/// Whether the directory itself was removed or renamed.
fn is_about(event: &Event, directory: &Path) -> bool {
    matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_)))
        && event.paths.iter().any(|path| path == directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// A store whose reload panics at first.
    struct Fragile {
        directory: tempfile::TempDir,
        panics: AtomicUsize,
        refreshed: AtomicUsize,
        ended: AtomicBool,
    }

    impl Fragile {
        fn new(panics: usize) -> Arc<Self> {
            Arc::new(Fragile {
                directory: tempfile::tempdir().unwrap(),
                panics: AtomicUsize::new(panics),
                refreshed: AtomicUsize::new(0),
                ended: AtomicBool::new(false),
            })
        }
    }

    impl Watched for Fragile {
        fn directory(&self) -> &Path {
            self.directory.path()
        }

        fn has_changed_unseen(&self) -> bool {
            false
        }

        fn is_behind(&self) -> bool {
            false
        }

        fn watch_ended(&self) {
            self.ended.store(true, Ordering::Release);
        }

        fn refresh(&self) {
            // The first one is by the caller.
            let number = self.refreshed.fetch_add(1, Ordering::AcqRel);
            assert!(number == 0 || number > self.panics.load(Ordering::Acquire), "a panic in reload {number}");
        }
    }

    #[test]
    fn a_reload_that_panics_is_repeated() {
        let store = Fragile::new(1);
        let watch = Watch::start(&store).unwrap();
        fs::write(store.directory().join("a.key"), "").unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while store.refreshed.load(Ordering::Acquire) < 3 {
            assert!(Instant::now() < end && watch.is_running(), "it was not reloaded again");
            std::thread::yield_now();
        }
        drop(watch);
        assert!(!store.ended.load(Ordering::Acquire), "it was stopped");
    }

    #[test]
    fn a_thread_that_ends_unexpectedly_is_reported() {
        for (stopped, told) in [(false, true), (true, false)] {
            let store = Fragile::new(0);
            drop(EndOfWatch { store: Arc::downgrade(&store), stopping: Arc::new(AtomicBool::new(stopped)) });
            assert_eq!(store.ended.load(Ordering::Acquire), told);
        }
    }
}
