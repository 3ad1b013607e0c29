//! The scan of a key directory: which files are new, changed or gone, and what that means for the keys.

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

/// The files of one directory, in the order of their names.
pub(super) struct Files {
    names: Names,
    files: Vec<File>,
    // By name. Few, so that they may cost something.
    problems: BTreeMap<Box<[u8]>, StoreProblem>,
    stamper: Stamper,
    #[cfg_attr(not(feature = "watch"), expect(dead_code))]
    next_link: usize,
    unread: Unread,
    /// They were read before: what is half-written isn't taken.
    are_known: bool,
    /// A pass has begun, and what it found isn't in force yet. One that panicked leaves it so.
    is_torn: bool,
    warned_of_mode: u32,
    warned_of_others: bool,
}

/// So many warnings about files are written to the log for one pass; the others are counted there.
const WARNINGS: usize = 20;

/// 56 bytes, for there may be a million.
#[derive(Default)]
struct File {
    name: Name,
    #[cfg_attr(not(feature = "watch"), expect(dead_code))]
    is_link: bool,
    /// What was warned about.
    warned_of: u8,
    stamp: Stamp,
    /// The key in force, be it that of the file as it was; `None` for one that never could be read.
    key: Option<PublicKey>,
    info: Option<Arc<KeyInfo>>,
}

/// What a pass over the directory came to.
pub(super) struct Refreshed {
    pub(super) summary: ReloadSummary,
    pub(super) changes: Changes,
    /// The error of the first bad file among those that were read.
    pub(super) error: Option<Error>,
}

/// What the table of keys has to become.
pub(super) enum Changes {
    Some(Vec<KeyChange>),
    /// Cheaper made anew.
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

    /// Compares with the directory: reads what is new or may have changed. A bad file stays what it was before.
    ///
    /// # Errors
    /// [`Error::Io`] where the directory can't be listed; all stays as it was.
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
        // Files that are missing in another directory than the listed one were not removed from that one.
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
            log_warn!("{}: {} more such files", EscapedPath(directory), pass.warnings - WARNINGS);
        }
        (self.names, self.files) = (names, files);
        Ok(Refreshed { changes: self.changes(&pass), summary: pass.summary, error: pass.error })
    }

    /// What the last pass found is in force.
    pub(super) fn are_in_force(&mut self) {
        self.is_torn = false;
    }

    pub(super) fn unread(&self) -> Unread {
        self.unread
    }

    /// The name of the first file of each key, without `.key`, where it is text.
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

    /// czmq's certificates have other names: a directory of them isn't empty, but looks so.
    fn warn_of_others(&mut self, directory: &Path, is_empty: bool, others: usize) {
        let is_so = is_empty && others > 0;
        if is_so && !self.warned_of_others {
            log_warn!(
                "{directory:?} has {others} files, none of which ends in .key: they are passed over. Rename them"
            );
        }
        self.warned_of_others = is_so;
    }

    /// Every key that a file stands for, with what the first of its files says that says anything.
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

    /// Whether a file behind a symbolic link may have changed: in a directory that nobody watches. At most so many links
    /// are followed, the next ones next time.
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

    /// Both are in the order of names: what was known of a file goes over to the file that is there now.
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
                let problem = "has no line feed at its end, and was changed less than 2 s ago: half of it?";
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

/// What is gathered on the way.
#[derive(Default)]
struct Pass {
    summary: ReloadSummary,
    to_read: Vec<usize>,
    /// Removed while they were to be read.
    gone: HashSet<usize>,
    /// Keys that may be let in no more, newly, or with other metadata.
    touched: HashSet<PublicKey>,
    error: Option<Error>,
    warnings: usize,
    is_torn: bool,
}

impl Pass {
    /// Warns of what wasn't so when the file was last read.
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
    /// Two files with one key are one key; what only one of them says is not lost.
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
    fn after_a_pass_that_did_not_come_into_force_all_keys_are_set_anew() {
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
        // As if a panic had come between this and the table.
        let lost = files.refresh(directory.path()).unwrap();
        assert!(matches!(lost.changes, Changes::Some(changes) if changes.len() == 1));
        let again = files.refresh(directory.path()).unwrap();
        assert!(matches!(again.changes, Changes::All(keys) if keys.len() == 19));
        files.are_in_force();
        let rest = files.refresh(directory.path()).unwrap();
        assert!(matches!(rest.changes, Changes::Some(changes) if changes.is_empty()));
    }
}
