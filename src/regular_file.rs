//! Opening and reading of regular files: never blocks on a FIFO or device, never reads more than a bound.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a regular file, and tells what it is like before it is read; `None` for anything else. `is_file` tells that it
/// was a regular file a moment ago.
pub(crate) fn open(path: &Path, is_file: bool) -> io::Result<Option<(File, Metadata)>> {
    // Before it is opened: opening a device can have effects.
    if !is_file && !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    // Should it have become a FIFO since, this doesn't wait for a writer; the second look then sees it.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// Reads all of a file, or as much as there is room for; tells how much. `size` is what the file had when it was opened.
pub(crate) fn fill(mut file: &File, buffer: &mut [u8], size: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        // All that was there when it was opened: one call saved for each of many files.
        if length as u64 == size {
            break;
        }
    }
    Ok(length)
}

/// Whether nobody has written to an open file since. (One that was replaced meanwhile is what it was: its content counts.)
pub(crate) fn is_unchanged(file: &File, opened: &Metadata) -> io::Result<bool> {
    let state = |metadata: &Metadata| (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    Ok(state(&file.metadata()?) == state(opened))
}
