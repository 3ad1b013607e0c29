//! Reporting of reloads to the log, `status()` and observers. A problem is reported once, not at each reload.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, Weak};
use std::time::SystemTime;

use super::{ReloadSummary, StoreProblem, StoreStatus, lock};
use crate::audit::metrics;
use crate::escape::EscapedPath;

/// So many problems of one reload are written to the log; the others are counted there.
const LOGGED: usize = 20;

/// Something that came of a reload and wasn't so before.
#[derive(Debug, Clone)]
pub(crate) struct ReloadEvent {
    /// The store's directory or file.
    path: PathBuf,
    /// What it holds, in the plural.
    what: &'static str,
    /// What has changed; an `Err` where nothing of it could be read, and all stays as it was.
    outcome: Result<ReloadSummary, StoreProblem>,
    /// The problems that are new.
    pub(crate) problems: Vec<StoreProblem>,
    /// The problems that are no more.
    solved: Vec<StoreProblem>,
    /// It has fallen behind the disk (`true`), or has caught up.
    behind: Option<bool>,
}

impl ReloadEvent {
    /// What changed, in words; `None` if nothing did.
    pub(crate) fn summary(&self) -> Option<String> {
        let ReloadSummary { added, changed, removed, .. } =
            self.outcome.as_ref().ok().filter(|reload| !reload.is_nothing())?;
        let (path, what) = (EscapedPath(&self.path), self.what);
        Some(format!("{path}: {added} {what} added, {changed} changed, {removed} removed"))
    }
}

impl ReloadEvent {
    /// Whether the store has fallen behind the disk, or has caught up, in words; `None` where that is as it was.
    pub(crate) fn behind(&self) -> Option<(bool, String)> {
        let path = EscapedPath(&self.path);
        self.behind.map(|behind| match behind {
            true => (true, format!("{path}: behind the disk, which could not be read completely")),
            false => (false, format!("{path}: caught up with the disk")),
        })
    }
}

/// Called in the thread that reloads, with no lock held.
pub(crate) type ReloadObserver = dyn Fn(&ReloadEvent) + Send + Sync;

#[derive(Default)]
pub(super) struct Report {
    status: Mutex<StoreStatus>,
    observers: Mutex<Vec<Weak<ReloadObserver>>>,
}

/// What a store found at a reload.
pub(super) struct ReloadResult {
    /// What the store holds, in the plural.
    pub(super) what: &'static str,
    pub(super) entries: usize,
    pub(super) files: usize,
    /// An `Err` where the directory or file as a whole can't be read.
    pub(super) outcome: Result<ReloadSummary, StoreProblem>,
    /// All of the files' problems, in the order of their names.
    pub(super) problems: Vec<StoreProblem>,
    /// Something could not be read, and may be at the next reload.
    pub(super) behind: bool,
}

impl Report {
    pub(super) fn status(&self) -> StoreStatus {
        lock(&self.status).clone()
    }

    #[cfg(feature = "watch")]
    pub(super) fn set_watched(&self, watched: bool) {
        lock(&self.status).watched = watched;
    }

    #[cfg(feature = "watch")]
    pub(super) fn is_behind(&self) -> bool {
        lock(&self.status).behind_since.is_some()
    }

    /// Calls the observer after every reload that changed something, for as long as it lives.
    pub(super) fn observe(&self, observer: Weak<ReloadObserver>) {
        let mut observers = lock(&self.observers);
        observers.retain(|observer| observer.strong_count() > 0);
        observers.push(observer);
    }

    /// Records a reload and returns the event to publish, if anything changed. Must be called in reload order.
    pub(super) fn record(&self, path: &Path, result: ReloadResult) -> Option<ReloadEvent> {
        let ReloadResult { what, entries, files, outcome, mut problems, behind } = result;
        let read = outcome.as_ref().map_or(0, |reload| reload.read as u64);
        if let Err(problem) = &outcome {
            problems.insert(0, problem.clone());
        }
        let mut status = lock(&self.status);
        let known = std::mem::take(&mut status.problems);
        let new: Vec<_> = fresh(&known, &problems);
        let solved = fresh(&problems, &known);
        let (watched, was_behind, now) = (status.watched, status.behind_since, SystemTime::now());
        *status = StoreStatus {
            entries,
            files,
            last_reload: Some(now),
            reloads: status.reloads + 1,
            files_read: status.files_read + read,
            watched,
            behind_since: behind.then(|| was_behind.unwrap_or(now)),
            problems,
        };
        drop(status);
        let behind = (behind != was_behind.is_some()).then_some(behind);
        behind.into_iter().for_each(metrics::store_behind);
        let nothing = outcome.as_ref().map_or(true, ReloadSummary::is_nothing);
        let event = ReloadEvent { path: path.to_owned(), what, outcome, problems: new, solved, behind };
        let is_told = !nothing || !event.problems.is_empty() || !event.solved.is_empty() || behind.is_some();
        is_told.then_some(event)
    }

    /// Logs the event and hands it to the observers. No lock may be held.
    pub(super) fn publish(&self, event: &ReloadEvent) {
        for problem in event.problems.iter().take(LOGGED) {
            log_error!("{problem}; what was in force before stays so");
        }
        if event.problems.len() > LOGGED {
            let more = event.problems.len() - LOGGED;
            log_error!("{}: {more} more such problems", EscapedPath(&event.path));
        }
        let still = |file: &Path| event.problems.iter().any(|problem| problem.file == file);
        for problem in event.solved.iter().take(LOGGED).filter(|problem| !still(&problem.file)) {
            log_info!("no longer so: {problem}");
        }
        if let Some(summary) = event.summary() {
            log_info!("{summary}");
        }
        match event.behind() {
            Some((true, text)) => log_warn!("{text}; what was in force before stays so until it can be"),
            Some((false, text)) => log_info!("{text}"),
            None => {}
        }
        let observers = lock(&self.observers).clone();
        for observer in observers.iter().filter_map(Weak::upgrade) {
            observer(event);
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if lock(&self.status).behind_since.is_some() {
            metrics::store_behind(false);
        }
    }
}

/// The problems that weren't known: both lists are in order, and mostly the same.
fn fresh(known: &[StoreProblem], now: &[StoreProblem]) -> Vec<StoreProblem> {
    let known: std::collections::HashSet<(&Path, Option<usize>, &str)> =
        known.iter().map(|problem| (problem.file.as_path(), problem.line, problem.what.as_str())).collect();
    let is_known = |problem: &&StoreProblem| known.contains(&(&problem.file, problem.line, &problem.what));
    now.iter().filter(|problem| !is_known(problem)).cloned().collect()
}
