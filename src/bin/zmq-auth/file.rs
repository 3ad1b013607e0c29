//! Writing files: replaced as a whole, and never half-written even if the program is interrupted.

use std::fs::{self, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use zeroize::Zeroizing;
use zmq_auth::zeroize;

use crate::escape;
use crate::output::{Failure, note};

/// The number of running changes, including nested ones.
static CHANGES: Mutex<usize> = Mutex::new(0);
static CHANGE_ENDED: Condvar = Condvar::new();

/// Ends the program as soon as no change is running. No new one can begin.
pub(crate) fn exit_after_change(code: i32) -> ! {
    let none = CHANGE_ENDED.wait_while(changes(), |changes| *changes > 0);
    let _none = none.unwrap_or_else(PoisonError::into_inner);
    std::process::exit(code)
}

fn changes() -> MutexGuard<'static, usize> {
    CHANGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a change without interruption: signals that end the program are blocked, and end it afterwards.
pub(crate) fn uninterrupted<T>(change: impl FnOnce() -> T) -> T {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    // After a password prompt, another thread handles signals, which the mask of this one doesn't block.
    *changes() += 1;
    let result = change();
    *changes() -= 1;
    CHANGE_ENDED.notify_all();
    if let Ok(before) = before {
        // Restoring the previous mask can't fail.
        let _ = before.thread_set_mask();
    }
    result
}

/// The user and the group that a file belongs to.
pub(crate) type Owner = (u32, u32);

/// Writes a file by a rename, with this mode whatever the umask. An existing regular file is replaced.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    replace_owned(path, content, mode, None)
}

/// As [`replace`], and gives the file to this user and group.
pub(crate) fn replace_owned(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>) -> Result<(), Failure> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Failure::new(format!("{}: is not a regular file; nothing was changed", escape::path(path)))
            .hint("Choose another name."));
    }
    put(path, content, mode, owner, true)
}

/// As [`replace_owned`], but fails if the name is taken, even if it was taken only just now.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>) -> Result<(), Failure> {
    put(path, content, mode, owner, false)
}

/// The owner of an existing file; of its target for a symbolic link.
pub(crate) fn owner(path: &Path) -> Option<Owner> {
    fs::metadata(path).ok().map(|metadata| (metadata.uid(), metadata.gid()))
}

fn put(path: &Path, content: &[u8], mode: u32, owner: Option<Owner>, replaces: bool) -> Result<(), Failure> {
    let directory = directory(path);
    let write = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        let mut file = builder.permissions(Permissions::from_mode(mode)).tempfile_in(directory)?;
        if let Some((user, group)) = owner {
            let new = file.as_file().metadata()?;
            if new.uid() != user {
                fchown(file.as_file(), Some(user), Some(group))?;
            } else if new.gid() != group {
                // If this fails, the group may at worst lose access.
                let _ = fchown(file.as_file(), None, Some(group));
            }
        }
        // The umask has removed bits that a server needs. (Done last, because changing the owner may remove some, too.)
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        let persisted = if replaces { file.persist(path) } else { file.persist_noclobber(path) };
        persisted.map_err(|error| error.error)?;
        // So that the new name survives a power cut; not every file system can.
        let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
        Ok(())
    };
    uninterrupted(write).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists if !replaces => exists(path),
        _ => Failure::new(format!("{}: cannot write: {error}", escape::path(path))),
    })
}

/// Reads a regular file of at most `most` bytes. Never blocks, as a FIFO would.
pub(crate) fn read_regular(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Checked before opening, since opening a device can have side effects.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if metadata.len() > most {
        return Err(io::Error::other(format!("it has more than {most} bytes")));
    }
    // The right size from the start: a growing buffer would leave copies of secrets in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1));
    file.take(metadata.len()).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The file to replace: a symbolic link stays, and its target is replaced.
pub(crate) fn target(path: &Path) -> Result<PathBuf, Failure> {
    if !path.is_symlink() {
        return Ok(path.to_owned());
    }
    fs::canonicalize(path).map_err(|error| Failure::new(format!("{}: cannot open: {error}", escape::path(path))))
}

/// The directory that contains the file.
pub(crate) fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How long to wait for the lock. A run of this program holds it for much less.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Locks the directory against other runs of this program until the handle is dropped. The lock is on the directory
/// itself: a lock on a file would be lost when the file is replaced.
///
/// Anybody who may read the directory can take the lock, so the wait is limited.
pub(crate) fn lock(directory: &Path) -> Result<fs::File, Failure> {
    let shown = escape::path(directory);
    let failed = |error| Failure::new(format!("{shown}: cannot lock: {error}"));
    let handle = fs::File::open(directory).map_err(failed)?;
    let mut end = None;
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(handle),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let end = *end.get_or_insert_with(|| {
            note(format_args!("waiting for another program that is changing {shown}"));
            Instant::now() + LOCK_WAIT
        });
        if Instant::now() >= end {
            let which = format!("fuser {} shows which", escape::shell(directory));
            return Err(Failure::new(format!("{shown}: is locked by another program ({which})")));
        }
        // The system has no lock with a deadline.
        thread::sleep(Duration::from_millis(20));
    }
}

/// Fails if there is no such directory.
pub(crate) fn require_directory(directory: &Path) -> Result<(), Failure> {
    if directory.is_dir() {
        return Ok(());
    }
    let failure = Failure::new(format!("{}: no such directory", escape::path(directory)));
    Err(failure.hint(format!("Create it: mkdir {}", escape::shell(directory))))
}

/// For a file that was not written.
pub(crate) fn not_saved(error: zmq_auth::Error) -> Failure {
    match error {
        zmq_auth::Error::Exists { path } => exists(&path),
        other => other.into(),
    }
}

pub(crate) fn exists(path: &Path) -> Failure {
    Failure::new(format!("{}: exists already; nothing was changed", escape::path(path)))
        .hint("Choose another name, or replace it with --force.")
}
