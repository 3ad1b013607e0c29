//! The source of a policy file's store: applies the file's content to its authenticator, as a whole.

use std::hash::RandomState;
use std::path::Path;
use std::sync::Mutex;

use super::read::{self, Tables};
use super::stores::Stores;
use crate::authenticator::{Authenticator, Names, Replaced};
use crate::error::{Error, Result};
use crate::escape::EscapedPath;
use crate::reload::{FileContent, Reading, ReloadSummary, SingleFile, Source, StoreProblem, Unread, lock};

/// The policy that the file configures.
pub(super) struct PolicySource {
    pub(super) authenticator: Authenticator,
    hasher: RandomState,
    pub(super) applied: Mutex<Applied>,
    /// What the running reload has replaced, dropped at its end.
    replaced: Mutex<Vec<(Stores, Replaced)>>,
    /// Whether buckets are followed: not by `inspect`.
    pub(super) follows: bool,
}

/// The content of the file when it was last applied.
#[derive(Default)]
pub(super) struct Applied {
    names: Names,
    tables: Tables,
    pub(super) stores: Stores,
    pub(super) message_size: Option<u64>,
    has_clear_passwords: bool,
    #[cfg(feature = "watch")]
    pub(super) watched: bool,
}

impl PolicySource {
    pub(super) fn new(authenticator: Authenticator, follows: bool) -> Self {
        PolicySource {
            authenticator,
            hasher: RandomState::new(),
            applied: Mutex::default(),
            replaced: Mutex::default(),
            follows,
        }
    }

    fn read(&self, path: &Path, seen: &mut SingleFile, reading: Reading) -> Result<ReloadSummary> {
        let mut mode = None;
        let result = seen.compare(path, reading, fault, |content, unread| {
            mode = Some(content.mode);
            self.take(path, content, unread)
        });
        if lock(&self.applied).has_clear_passwords {
            seen.warn_of_mode(path);
        } else if let Some(mode) = mode {
            seen.warn_of_writable(path, mode);
        }
        result
    }

    /// Returns `None`, without changing anything, if the file may be half-written.
    fn take(&self, path: &Path, content: &FileContent, unread: &mut Unread) -> Result<Option<ReloadSummary>> {
        let mut applied = lock(&self.applied);
        let read = read::read(&content.bytes, parent(path), &applied.stores, &self.hasher, &self.authenticator);
        let read = read.map_err(|problems| {
            *unread = problems.iter().map(|problem| problem.unread).max().unwrap_or_default();
            let first = problems.into_iter().next();
            first.map_or_else(|| fault(path, None, "can't be read"), |problem| problem.into_error(path))
        })?;
        let summary = compare(&applied.tables, &read.tables);
        if summary.is_nothing() {
            return Ok(Some(summary));
        }
        if !content.may_change || (content.is_fresh_in_place && summary.removed > 0) {
            return Ok(None);
        }
        #[cfg(feature = "watch")]
        if applied.watched {
            read.stores.watch()?;
        }
        let names = read.content.names();
        let replaced = self.authenticator.replace(&applied.names, read.content)?;
        let now = Applied {
            names,
            tables: read.tables,
            stores: read.stores,
            message_size: read.message_size,
            has_clear_passwords: read.has_clear_passwords,
            #[cfg(feature = "watch")]
            watched: applied.watched,
        };
        let before = std::mem::replace(&mut *applied, now);
        let stores = applied.stores.clone();
        drop(applied);
        #[cfg(feature = "nats")]
        if self.follows {
            stores.follow(&before.stores);
        }
        // Dropped later, without a lock: dropping a callback's value may call this file, and dropping a store waits for
        // its thread.
        lock(&self.replaced).push((before.stores, replaced));
        for store in stores.empty() {
            log_warn!("{}: {} is empty: it accepts nobody", EscapedPath(path), EscapedPath(&store));
        }
        Ok(Some(summary))
    }
}

impl Source for PolicySource {
    type Seen = SingleFile;
    const ENTRIES: &'static str = "tables";

    fn reload(&self, path: &Path, seen: &mut SingleFile) -> Result<ReloadSummary> {
        self.read(path, seen, Reading::Again)
    }

    fn open(&self, path: &Path, seen: &mut SingleFile) -> Result<ReloadSummary> {
        self.read(path, seen, Reading::First)
    }

    fn reload_ended(&self) {
        let replaced = std::mem::take(&mut *lock(&self.replaced));
        drop(replaced);
    }

    fn entries(&self) -> usize {
        lock(&self.applied).tables.len()
    }

    fn files(&self, _: &SingleFile) -> usize {
        1
    }

    // One problem rejects the whole file.
    fn problems(&self, _: &SingleFile) -> Vec<StoreProblem> {
        Vec::new()
    }

    fn unread(&self, seen: &SingleFile) -> Unread {
        seen.unread
    }

    #[cfg(feature = "watch")]
    fn directory<'p>(&self, path: &'p Path) -> &'p Path {
        parent(path)
    }

    #[cfg(feature = "watch")]
    fn has_changed_unseen(&self, path: &Path, seen: &mut SingleFile) -> bool {
        seen.has_changed(path)
    }
}

fn compare(before: &Tables, now: &Tables) -> ReloadSummary {
    let mut summary = ReloadSummary { read: 1, ..ReloadSummary::default() };
    for (name, hash) in now {
        match before.get(name) {
            None => summary.added += 1,
            Some(known) => summary.changed += usize::from(known != hash),
        }
    }
    summary.removed = before.keys().filter(|name| !now.contains_key(*name)).count();
    summary
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

pub(super) fn fault(path: &Path, line: Option<usize>, problem: &'static str) -> Error {
    Error::PolicyFile { path: path.to_owned(), place: line.map(|line| (line, 1)), problem: problem.into() }
}
