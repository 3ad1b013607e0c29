//! Opening and reading of regular files: never blocks on a FIFO or device, never reads more than a bound.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
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
pub(crate) fn fill(mut file: File, buffer: &mut [u8], size: u64) -> io::Result<usize> {
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
