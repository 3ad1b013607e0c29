//! File stamps: a hash of a file's stat that shows whether the file may have changed since it was read.

use std::fs::Metadata;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file that was changed less than this before it was read may change again without a visible difference: file systems
/// record times in steps of up to 2 s.
const YOUNG: Duration = Duration::from_secs(2);

/// Distinguishes a file or directory from an earlier one of the same name: device, inode and birth time, because the inode
/// number of a removed file is soon reused.
pub(crate) type Identity = (u64, u64, Option<SystemTime>);

pub(crate) fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino(), metadata.created().ok())
}

/// A hash of a file's stat, or none if the stat can't be relied on. 8 bytes, because there is one for each file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamp(Option<NonZeroU64>);

impl Stamp {
    /// The stamp of a file that must be read again in any case.
    pub(crate) const NONE: Stamp = Stamp(None);

    /// Whether the file is certainly unchanged.
    pub(crate) fn is_still(self, now: Stamp) -> bool {
        self.0.is_some() && self == now
    }
}

/// Makes stamps: hashes with a random key, so that nobody can make two files with the same stamp on purpose.
#[derive(Debug)]
pub(crate) struct Stamper {
    key: RandomState,
    now: i128,
}

impl Stamper {
    pub(crate) fn new() -> Self {
        Stamper { key: RandomState::new(), now: 0 }
    }

    /// Call this before a pass over the files.
    pub(crate) fn start(&mut self) {
        self.start_at(SystemTime::now());
    }

    fn start_at(&mut self, now: SystemTime) {
        let nanoseconds = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
        self.now = match now.duration_since(UNIX_EPOCH) {
            Ok(after) => nanoseconds(after),
            Err(before) => -nanoseconds(before.duration()),
        };
    }

    pub(crate) fn stamp(&self, metadata: &Metadata) -> Stamp {
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        // A time in the future counts as young.
        if [modified, changed].into_iter().any(|time| self.is_young(time)) {
            return Stamp::NONE;
        }
        let hash = self.key.hash_one((metadata.dev(), metadata.ino(), metadata.size(), modified, changed));
        Stamp(Some(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN)))
    }

    /// Whether a file was written so recently that the writer may not have finished. A rename doesn't count.
    pub(crate) fn is_fresh(&self, metadata: &Metadata) -> bool {
        self.is_young((metadata.mtime(), metadata.mtime_nsec()))
    }

    fn is_young(&self, (seconds, nanoseconds): (i64, i64)) -> bool {
        let time = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        time > self.now - YOUNG.as_nanos() as i128
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, FileTimes};
    use std::path::Path;

    /// A stamp as if it were made this much later.
    fn stamp(stamper: &mut Stamper, file: &Path, later: Duration) -> Stamp {
        stamper.start_at(SystemTime::now() + later);
        stamper.stamp(&fs::metadata(file).unwrap())
    }

    #[test]
    fn a_file_is_relied_on_two_seconds_after_its_last_change() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut stamper = Stamper::new();
        let young = stamp(&mut stamper, file.path(), Duration::ZERO);
        assert_eq!((young, young.is_still(young)), (Stamp::NONE, false));
        assert_eq!(stamp(&mut stamper, file.path(), Duration::from_millis(1_900)), Stamp::NONE);
        let old = stamp(&mut stamper, file.path(), Duration::from_secs(3));
        assert!(old.is_still(stamp(&mut stamper, file.path(), Duration::from_secs(4))));
        // The clock was set back.
        assert_eq!(stamp(&mut stamper, file.path(), Duration::ZERO), Stamp::NONE);
    }

    #[test]
    fn a_time_in_the_future_is_never_relied_on() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let future = SystemTime::now() + Duration::from_secs(3600);
        file.as_file().set_times(FileTimes::new().set_modified(future)).unwrap();
        let mut stamper = Stamper::new();
        assert_eq!(stamp(&mut stamper, file.path(), Duration::from_secs(60)), Stamp::NONE);
        assert_ne!(stamp(&mut stamper, file.path(), Duration::from_secs(3603)), Stamp::NONE);
    }

    #[test]
    fn a_change_is_seen_whatever_the_file_says_of_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        fs::write(&file, "a").unwrap();
        let old_time = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
        let reset = || File::options().write(true).open(&file).unwrap().set_times(old_time).unwrap();
        reset();
        let mut stamper = Stamper::new();
        let before = stamp(&mut stamper, &file, Duration::from_secs(5));
        assert!(before.is_still(stamp(&mut stamper, &file, Duration::from_secs(6))));
        // Same inode, same size, same mtime.
        let changed = fs::metadata(&file).unwrap().ctime_nsec();
        while fs::metadata(&file).unwrap().ctime_nsec() == changed {
            fs::write(&file, "b").unwrap();
            reset();
        }
        assert!(!before.is_still(stamp(&mut stamper, &file, Duration::from_secs(7))));
        // Another file of the same name, size and mtime.
        let before = stamp(&mut stamper, &file, Duration::from_secs(5));
        let other = dir.path().join("b");
        fs::write(&other, "b").unwrap();
        fs::rename(&other, &file).unwrap();
        reset();
        assert!(!before.is_still(stamp(&mut stamper, &file, Duration::from_secs(7))));
    }
}
