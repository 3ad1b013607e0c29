//! The scan of a key directory: which files are new, changed or gone, and what that changes in the keys.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::listing::{ListedFile, Listing, Name, Names};
use super::read::{self, ReadResult};
use super::table::{KeyChange, KeyMap, NameMap};
use crate::certificate::{Concerns, KeyInfo};
use crate::error::{Error, Result};
use crate::escape::EscapedPath;
use crate::keys::PublicKey;
use crate::reload::{ReloadSummary, Stamp, Stamper, StoreProblem, Unread, identity, warn_of_directory};

/// The files of one directory, sorted by name.
pub(super) struct Files {
    names: Names,
    files: Vec<File>,
    // By name. There are few, so they may cost more.
    problems: BTreeMap<Box<[u8]>, StoreProblem>,
    stamper: Stamper,
    #[cfg_attr(not(feature = "watch"), expect(dead_code))]
    next_link: usize,
    unread: Unread,
    /// The files were read before: half-written ones are not taken.
    are_known: bool,
    /// A pass has begun and its result isn't applied yet. It stays set if the pass panicked.
    is_torn: bool,
    warned_of_mode: u32,
    warned_of_others: bool,
}

/// The number of warnings about files that one pass logs; further ones are only counted.
const WARNINGS: usize = 20;

/// 56 bytes, because there may be a million.
#[derive(Default)]
struct File {
    name: Name,
    #[cfg_attr(not(feature = "watch"), expect(dead_code))]
    is_link: bool,
    /// The concerns that were warned about.
    warned_of: u8,
    stamp: Stamp,
    /// The key that is accepted, possibly from an earlier version of the file; `None` if none could ever be read.
    key: Option<PublicKey>,
    info: Option<Arc<KeyInfo>>,
}

/// The result of a pass over the directory.
pub(super) struct Refreshed {
    pub(super) summary: ReloadSummary,
    pub(super) changes: Changes,
    /// The error of the first bad file among those that were read.
    pub(super) error: Option<Error>,
}

/// The changes to the table of keys.
pub(super) enum Changes {
    Some(Vec<KeyChange>),
    /// Cheaper to rebuild.
    All(KeyMap),
}

impl Default for Files {
    fn default() -> Self {
        Files {
            names: Names::default(),
            files: Vec::new(),
            problems: BTreeMap::new(),
            stamper: Stamper::new(),
            next_link: 0,
            unread: Unread::Nothing,
            are_known: false,
            is_torn: false,
            warned_of_mode: 0,
            warned_of_others: false,
        }
    }
}

impl Files {
    /// Reads the directory for the first time; a bad file is an error.
    pub(super) fn open(&mut self, directory: &Path) -> Result<Refreshed> {
        let mut refreshed = self.refresh(directory)?;
        self.are_known = true;
        refreshed.error.take().map_or(Ok(refreshed), Err)
    }

    /// Compares with the directory: reads what is new or may have changed. A bad file keeps its previous key.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory can't be listed; nothing changes.
    pub(super) fn refresh(&mut self, directory: &Path) -> Result<Refreshed> {
        self.stamper.start();
        self.unread = Unread::Nothing;
        warn_of_directory(directory, false, &mut self.warned_of_mode);
        let directory_now = || std::fs::metadata(directory).ok().as_ref().map(identity);
        let listed_in = directory_now();
        let listing = Listing::read(directory, &self.stamper, !self.files.is_empty());
        let list = |source| Error::Io { path: directory.to_owned(), action: "list", source };
        let Listing { names, files: listed, others } = listing.map_err(list)?;
        self.warn_of_others(directory, listed.is_empty(), others);

        let mut pass = Pass { is_torn: std::mem::replace(&mut self.is_torn, true), ..Pass::default() };
        let mut files = self.merge(&names, &listed, &mut pass);
        let to_read: Vec<ListedFile> = pass.to_read.iter().filter_map(|&place| listed.get(place).copied()).collect();
        drop(listed);
        pass.summary.read = to_read.len();
        let mut outcomes = read::read(directory, &names, &to_read, &self.stamper);
        // If the directory was replaced since it was listed, missing files don't mean that they were removed.
        if outcomes.iter().any(|outcome| matches!(outcome, ReadResult::Gone)) && directory_now() != listed_in {
            outcomes.iter_mut().for_each(|outcome| outcome.gone_with(directory));
        }
        for (place, outcome) in std::mem::take(&mut pass.to_read).into_iter().zip(outcomes) {
            if let Some(file) = files.get_mut(place) {
                self.take(place, file, names.get(file.name), outcome, directory, &mut pass);
            }
        }
        if !pass.gone.is_empty() {
            let mut place = 0..;
            files.retain(|_| place.next().is_none_or(|place| !pass.gone.contains(&place)));
        }
        pass.summary.problems = self.problems.len();
        if pass.warnings > WARNINGS {
            log_warn!("{}: {} more files with such problems", EscapedPath(directory), pass.warnings - WARNINGS);
        }
        (self.names, self.files) = (names, files);
        Ok(Refreshed { changes: self.changes(&pass), summary: pass.summary, error: pass.error })
    }

    /// Records that the result of the last pass was applied.
    pub(super) fn are_in_force(&mut self) {
        self.is_torn = false;
    }

    pub(super) fn unread(&self) -> Unread {
        self.unread
    }

    /// The name of each key's first file, without `.key`, if it is text.
    pub(super) fn file_names(&self) -> NameMap {
        let mut names = NameMap::default();
        for file in &self.files {
            let name = self.names.get(file.name);
            if let Some(key) = file.key
                && let Ok(name) = str::from_utf8(name.strip_suffix(b".key").unwrap_or(name))
            {
                names.entry(key).or_insert_with(|| name.into());
            }
        }
        names
    }

    /// Warns of a directory with only other files: czmq's certificates have other names.
    fn warn_of_others(&mut self, directory: &Path, is_empty: bool, others: usize) {
        let is_so = is_empty && others > 0;
        if is_so && !self.warned_of_others {
            log_warn!("{directory:?} has {others} files, none of which ends in .key: they are ignored. Rename them");
        }
        self.warned_of_others = is_so;
    }

    /// The key of every file, with the metadata of the first of its files that has any.
    pub(super) fn keys(&self) -> KeyMap {
        let mut keys = KeyMap::with_capacity_and_hasher(self.files.len(), Default::default());
        for file in &self.files {
            file.add_to(&mut keys);
        }
        keys
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// In the order of the files' names.
    pub(super) fn problems(&self) -> Vec<StoreProblem> {
        self.problems.values().cloned().collect()
    }

    /// Whether a file behind a symbolic link may have changed, in a directory that isn't watched. Each call checks a limited
    /// number of links, and the next call continues.
    #[cfg(feature = "watch")]
    pub(super) fn links_changed(&mut self, directory: &Path, at_most: usize) -> bool {
        self.stamper.start();
        let mut looked_at = 0;
        for step in 0..self.files.len() {
            let place = (self.next_link + step) % self.files.len();
            let Some(file) = self.files.get(place).filter(|file| file.is_link) else { continue };
            let metadata = std::fs::metadata(directory.join(self.names.file_name(file.name)));
            let broken = metadata.is_err() && self.problems.contains_key(self.names.get(file.name));
            let stamp = metadata.map_or(Stamp::NONE, |metadata| self.stamper.stamp(&metadata));
            if !broken && !file.stamp.is_still(stamp) {
                return true;
            }
            looked_at += 1;
            if looked_at == at_most {
                self.next_link = place + 1;
                break;
            }
        }
        false
    }

    /// Merges two lists in name order: what was known about a file is kept for the file of that name now.
    fn merge(&mut self, names: &Names, listed: &[ListedFile], pass: &mut Pass) -> Vec<File> {
        let mut files = Vec::with_capacity(listed.len());
        let mut old = std::mem::take(&mut self.files).into_iter().peekable();
        for (place, &ListedFile { name, stamp, is_link, .. }) in listed.iter().enumerate() {
            while let Some(gone) = old.next_if(|old| self.names.get(old.name) < names.get(name)) {
                pass.forget(&gone);
                self.problems.remove(self.names.get(gone.name));
            }
            match old.next_if(|old| self.names.get(old.name) == names.get(name)) {
                Some(known) if known.stamp.is_still(stamp) => files.push(File { name, is_link, ..known }),
                known => {
                    pass.to_read.push(place);
                    files.push(File { name, is_link, ..known.unwrap_or_default() });
                }
            }
        }
        for gone in old {
            pass.forget(&gone);
            self.problems.remove(self.names.get(gone.name));
        }
        files
    }

    fn take(
        &mut self,
        place: usize,
        file: &mut File,
        name: &[u8],
        outcome: ReadResult,
        directory: &Path,
        pass: &mut Pass,
    ) {
        match outcome {
            ReadResult::Loaded { key, info, may_be_half: true, .. }
                if self.are_known && (file.key, &file.info) != (Some(key), &info) =>
            {
                let problem = "has no line feed at its end, and was changed less than 2 s ago: it may be half-written";
                let path = directory.join(OsStr::from_bytes(name));
                let error = Error::Certificate { path, line: None, problem };
                let outcome = ReadResult::Failed { stamp: Stamp::NONE, error, unread: Unread::Something };
                self.take(place, file, name, outcome, directory, pass);
            }
            ReadResult::Loaded { stamp, key, info, concerns, .. } => {
                self.problems.remove(name);
                pass.warn(file, concerns, || directory.join(OsStr::from_bytes(name)));
                file.stamp = stamp;
                if (file.key, &file.info) == (Some(key), &info) {
                    return;
                }
                pass.touched.extend(file.key);
                pass.touched.insert(key);
                let count = if file.key.is_some() { &mut pass.summary.changed } else { &mut pass.summary.added };
                *count += 1;
                (file.key, file.info) = (Some(key), info);
            }
            ReadResult::Gone => {
                self.problems.remove(name);
                pass.forget(file);
                pass.gone.insert(place);
            }
            ReadResult::Failed { stamp, error, unread } => {
                file.stamp = stamp;
                self.unread = self.unread.max(unread);
                let path = directory.join(OsStr::from_bytes(name));
                self.problems.insert(name.into(), StoreProblem::new(&error, &path));
                pass.error.get_or_insert(error);
            }
        }
    }

    fn changes(&self, pass: &Pass) -> Changes {
        let touched = &pass.touched;
        if pass.is_torn || touched.len() > self.files.len() / 8 {
            return Changes::All(self.keys());
        }
        let mut wanted = KeyMap::default();
        if !touched.is_empty() {
            for file in self.files.iter().filter(|file| file.key.is_some_and(|key| touched.contains(&key))) {
                file.add_to(&mut wanted);
            }
        }
        Changes::Some(touched.iter().map(|key| (*key, wanted.remove(key))).collect())
    }
}

/// What one pass collects.
#[derive(Default)]
struct Pass {
    summary: ReloadSummary,
    to_read: Vec<usize>,
    /// Files that were removed before they could be read.
    gone: HashSet<usize>,
    /// Keys that may have been removed or added, or have other metadata.
    touched: HashSet<PublicKey>,
    error: Option<Error>,
    warnings: usize,
    is_torn: bool,
}

impl Pass {
    /// Warns of problems that the file didn't have when it was last read.
    fn warn(&mut self, file: &mut File, concerns: Concerns, path: impl FnOnce() -> PathBuf) {
        let new = concerns.without(file.warned_of);
        file.warned_of = concerns.flags();
        if new.flags() == 0 {
            return;
        }
        self.warnings += 1;
        if self.warnings <= WARNINGS {
            new.warn(&path());
        }
    }

    fn forget(&mut self, file: &File) {
        if let Some(key) = file.key {
            self.touched.insert(key);
            self.summary.removed += 1;
        }
    }
}

impl File {
    /// Adds the file's key. If several files have one key, the metadata of any of them isn't lost.
    fn add_to(&self, keys: &mut KeyMap) {
        if let Some(key) = self.key {
            let info = keys.entry(key).or_insert(None);
            if info.is_none() {
                info.clone_from(&self.info);
            }
        }
    }
}

const _: () = assert!(size_of::<File>() <= 56);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_scan_that_was_not_applied_all_keys_are_set_again() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..20 {
            let key = PublicKey::from([number; 32]);
            let file = directory.path().join(format!("{number}.key"));
            std::fs::write(file, format!("public-key = \"{key}\"\n")).unwrap();
        }
        let mut files = Files::default();
        files.open(directory.path()).unwrap();
        files.are_in_force();
        std::fs::remove_file(directory.path().join("7.key")).unwrap();
        // As if a panic had happened between this and the update of the table.
        let lost = files.refresh(directory.path()).unwrap();
        assert!(matches!(lost.changes, Changes::Some(changes) if changes.len() == 1));
        let again = files.refresh(directory.path()).unwrap();
        assert!(matches!(again.changes, Changes::All(keys) if keys.len() == 19));
        files.are_in_force();
        let rest = files.refresh(directory.path()).unwrap();
        assert!(matches!(rest.changes, Changes::Some(changes) if changes.is_empty()));
    }
}
