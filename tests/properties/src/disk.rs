//! A place for files that are read once: in memory, if the system allows.

use std::cell::OnceCell;
use std::path::Path;

use tempfile::TempDir;

/// A new directory, gone with its value.
pub fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let inside = memory.is_dir().then(|| tempfile::tempdir_in(memory).ok()).flatten();
    inside.unwrap_or_else(|| tempfile::tempdir().expect("a directory for temporary files"))
}

/// Runs with the path of a file in a directory that this thread keeps: for code that rewrites it each time.
pub fn with_file<T>(name: &str, run: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static KEPT: OnceCell<TempDir> = const { OnceCell::new() };
    }
    KEPT.with(|kept| run(&kept.get_or_init(directory).path().join(name)))
}
