//! Files: replaced whole, and never half-written, whenever the program is interrupted.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::output::Failure;

/// Runs with the signals that end the program held back, so that what belongs together is done together. One that came
/// meanwhile ends the program afterwards.
pub(crate) fn uninterrupted<T>(change: impl FnOnce() -> T) -> T {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let result = change();
    if let Ok(before) = before {
        // What was allowed before is allowed again: it can't be refused.
        let _ = before.thread_set_mask();
    }
    result
}

/// Writes a file whole, by a rename, with this mode from its creation; what was there is replaced.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), Failure> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        let mut file = builder.permissions(Permissions::from_mode(mode)).tempfile_in(directory)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        // So that the new name survives a power cut; not every file system can.
        let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
        Ok(())
    };
    uninterrupted(write).map_err(|error| Failure::new(format!("{}: cannot write: {error}", path.display())))
}
