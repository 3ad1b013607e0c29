//! Warnings about directories that users other than the owner can change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Warns of a directory in which others can create or remove files, once for each mode, like sshd's StrictModes. If only an
/// existing file counts, a sticky directory (`/tmp`) is good enough: nobody else can replace that file.
pub(crate) fn warn_of_directory(directory: &Path, sticky_is_enough: bool, warned_of: &mut u32) {
    let Ok(metadata) = fs::metadata(directory) else { return };
    let mode = metadata.permissions().mode() & 0o7777;
    let is_bad = mode & WRITABLE != 0 && !(sticky_is_enough && mode & STICKY != 0);
    if is_bad && *warned_of != mode {
        log_warn!("{directory:?}: users other than its owner can add and remove files (mode {mode:03o}): chmod go-w");
    }
    *warned_of = mode;
}
