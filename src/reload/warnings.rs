//! Warnings about directories that others than their owner may change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Warns of a directory that others may add files to or remove them from, once for each mode, as sshd's StrictModes does.
/// Where only a file that is there counts, a sticky directory (`/tmp`) is good enough: nobody can replace that file.
pub(crate) fn warn_of_directory(directory: &Path, sticky_is_enough: bool, warned_of: &mut u32) {
    let Ok(metadata) = fs::metadata(directory) else { return };
    let mode = metadata.permissions().mode() & 0o7777;
    let is_bad = mode & WRITABLE != 0 && !(sticky_is_enough && mode & STICKY != 0);
    if is_bad && *warned_of != mode {
        log_warn!("{directory:?}: others than its owner may add and remove files (mode {mode:03o}): chmod go-w");
    }
    *warned_of = mode;
}
