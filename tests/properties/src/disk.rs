//! A place for files that are read once: in memory where the system has one.

use std::path::Path;

use tempfile::TempDir;

/// A new directory, gone with its value.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let inside = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok()).flatten();
    inside.unwrap_or_else(|| tempfile::tempdir().expect("a directory for temporary files"))
}
