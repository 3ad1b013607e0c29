//! The state of a source that is a single file: when it must be read again, and when it may be half-written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::{Identity, ReloadSummary, Stamp, Stamper, Unread, identity, warn_of_directory};
use crate::error::{Error, Result};
use crate::regular_file;

/// The maximum size of such a file: 16 MiB.
const MAX_FILE: usize = 16 * 1024 * 1024;

/// The file as it was when it was last read.
pub(crate) struct SingleFile {
    stamper: Stamper,
    stamp: Stamp,
    /// It could not be used, so it is read again even if it hasn't changed.
    failed: bool,
    /// `None` before the first read, and after one that found no file.
    file: Option<Identity>,
    pub(crate) unread: Unread,
    warned_of: u32,
    warned_of_directory: u32,
}

/// Whether the file is read for the first time, when it is accepted as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    First,
    Again,
}

/// The content of the whole file.
pub(crate) struct FileContent {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// Whether it may replace the previous content. A file without a final line feed that was changed a moment ago may be
    /// half-written.
    pub(crate) may_change: bool,
    /// It was written a moment ago, and in place: it is the same file (inode) that was read before, or there was none.
    #[cfg_attr(not(feature = "policy"), expect(dead_code, reason = "only a policy file looks at it"))]
    pub(crate) is_fresh_in_place: bool,
    /// The permissions of users other than the owner.
    #[cfg_attr(not(feature = "policy"), expect(dead_code, reason = "only a policy file looks at it"))]
    pub(crate) mode: u32,
}

/// Makes the error for a problem of a file of this kind, on a line if one is to blame.
pub(crate) type Fault = fn(&Path, Option<usize>, &'static str) -> Error;

impl SingleFile {
    pub(crate) fn new() -> Self {
        SingleFile {
            stamper: Stamper::new(),
            stamp: Stamp::NONE,
            failed: false,
            file: None,
            unread: Unread::Nothing,
            warned_of: 0,
            warned_of_directory: 0,
        }
    }

    /// Compares with the disk, and passes the content to `take` if the file must be read. `take` replaces the previous
    /// content, or returns `None` and replaces nothing if something has changed that must not.
    pub(crate) fn compare(
        &mut self,
        path: &Path,
        reading: Reading,
        fault: Fault,
        take: impl FnOnce(&FileContent, &mut Unread) -> Result<Option<ReloadSummary>>,
    ) -> Result<ReloadSummary> {
        warn_of_directory(path.parent().unwrap_or(path), true, &mut self.warned_of_directory);
        self.unread = Unread::Nothing;
        // Assume failure until it has succeeded.
        let had_failed = std::mem::replace(&mut self.failed, true);
        let result = self.read_if_changed(path, reading, had_failed, fault, take);
        self.failed = result.is_err();
        result
    }

    fn read_if_changed(
        &mut self,
        path: &Path,
        reading: Reading,
        had_failed: bool,
        fault: Fault,
        take: impl FnOnce(&FileContent, &mut Unread) -> Result<Option<ReloadSummary>>,
    ) -> Result<ReloadSummary> {
        self.stamper.start();
        let opened = |source| Error::Io { path: path.to_owned(), action: "open", source };
        let before = self.file.take();
        let now = fs::metadata(path).map_err(opened)?;
        self.file = Some(identity(&now));
        let now = self.stamper.stamp(&now);
        if !had_failed && self.stamp.is_still(now) {
            return Ok(ReloadSummary::default());
        }
        self.stamp = Stamp::NONE;
        let Some((bytes, metadata)) = read(path, fault)? else {
            self.unread = Unread::Something;
            return Err(fault(path, None, CHANGED));
        };
        self.stamp = self.stamper.stamp(&metadata);
        let may_be_half = reading == Reading::Again
            && !bytes.is_empty()
            && !bytes.ends_with(b"\n")
            && self.stamper.is_fresh(&metadata);
        self.file = Some(identity(&metadata));
        let is_fresh_in_place = reading == Reading::Again
            && self.stamper.is_fresh(&metadata)
            && before.is_none_or(|before| Some(before) == self.file);
        let mode = metadata.permissions().mode() & 0o777;
        let content = FileContent { bytes, may_change: !may_be_half, is_fresh_in_place, mode };
        take(&content, &mut self.unread)?.ok_or_else(|| {
            (self.stamp, self.unread) = (Stamp::NONE, Unread::Something);
            let line = content.bytes.split(|byte| *byte == b'\n').count();
            let problem = match may_be_half {
                true => "has no line feed at its end, and the file was changed less than 2 s ago: it may be half-written",
                false => {
                    "ends here without something that it had before, and was written in place less than 2 s ago: it may be \
                     half-written"
                }
            };
            fault(path, Some(line), problem)
        })
    }

    /// Whether a stat finds a change. An error is reported once.
    #[cfg(feature = "watch")]
    pub(crate) fn has_changed(&mut self, path: &Path) -> bool {
        self.stamper.start();
        match fs::metadata(path) {
            Ok(metadata) => !self.stamp.is_still(self.stamper.stamp(&metadata)),
            Err(_) => !self.failed,
        }
    }

    /// Warns of a file that others can write, once for each mode.
    #[cfg(feature = "policy")]
    pub(crate) fn warn_of_writable(&mut self, path: &Path, mode: u32) {
        if mode & 0o022 != 0 && self.warned_of != mode {
            log_warn!("{path:?}: users other than its owner can change it (mode {mode:03o}): chmod go-w");
        }
        self.warned_of = mode;
    }

    /// Warns of a file with passwords that others can read, once for each mode.
    pub(crate) fn warn_of_mode(&mut self, path: &Path) {
        let Ok(metadata) = fs::metadata(path) else { return };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 && self.warned_of != mode {
            log_warn!(
                "{path:?} contains passwords, and users other than its owner have access (mode {mode:03o}): chmod 600"
            );
        }
        self.warned_of = mode;
    }
}

const CHANGED: &str = "was changed while it was read";

/// Reads the whole content, without keeping any state.
pub(crate) fn read_file(path: &Path, fault: Fault) -> Result<Zeroizing<Vec<u8>>> {
    read(path, fault)?.map(|(bytes, _)| bytes).ok_or_else(|| fault(path, None, CHANGED))
}

/// Reads the whole content, and the file's metadata from just before; `None` if the file was changed meanwhile. The buffer
/// never grows, because growing would leave passwords behind.
fn read(path: &Path, fault: Fault) -> Result<Option<(Zeroizing<Vec<u8>>, fs::Metadata)>> {
    let failed = |action| move |source| Error::Io { path: path.to_owned(), action, source };
    let opened = regular_file::open(path, false).map_err(failed("open"))?;
    let (file, metadata) = opened.ok_or_else(|| fault(path, None, "is not a regular file"))?;
    let size = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if size > MAX_FILE {
        return Err(fault(path, None, "is larger than 16 MiB"));
    }
    let mut content = Zeroizing::new(vec![0; size + 1]);
    let length = regular_file::fill(&file, &mut content, metadata.len()).map_err(failed("read"))?;
    if length > size || !regular_file::is_unchanged(&file, &metadata).map_err(failed("read"))? {
        return Ok(None);
    }
    content.truncate(length);
    Ok(Some((content, metadata)))
}
