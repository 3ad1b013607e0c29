//! Opening and reading of regular files, without blocking on a FIFO or device and without reading more than a bound.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a regular file, and returns its metadata from before it is read; `None` for anything else. `is_file` says that it
/// was a regular file a moment ago.
pub(crate) fn open(path: &Path, is_file: bool) -> io::Result<Option<(File, Metadata)>> {
    // Before opening it: opening a device can have effects.
    if !is_file && !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    // If it has become a FIFO since, this doesn't wait for a writer; the second check then finds it.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

/// Reads the whole file, or as much as fits; returns how much. `size` is the file's size when it was opened.
pub(crate) fn fill(mut file: &File, buffer: &mut [u8], size: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        // All that was there when it was opened: saves one call for each of many files.
        if length as u64 == size {
            break;
        }
    }
    Ok(length)
}

/// Whether an open file hasn't been written to since. (If it was replaced meanwhile, its own content still counts.)
pub(crate) fn is_unchanged(file: &File, opened: &Metadata) -> io::Result<bool> {
    let state = |metadata: &Metadata| (metadata.size(), metadata.mtime(), metadata.mtime_nsec());
    Ok(state(&file.metadata()?) == state(opened))
}
