//! Reports of reloads, to the log, `status()` and observers. A problem is reported once, not at each reload.

use std::path::Path;
use std::sync::{Mutex, Weak};
use std::time::SystemTime;

use super::{ReloadSummary, StoreProblem, StoreStatus, lock};
use crate::audit::metrics;
use crate::escape::{Escaped, EscapedPath};

/// The number of problems of one reload that are logged; further ones are only counted.
const LOGGED: usize = 20;

/// What a reload or a push has changed.
#[derive(Debug, Clone)]
pub(crate) struct ReloadEvent {
    /// The store's directory or file, or the name of the pushed credentials; escaped.
    name: String,
    /// What the store holds, in the plural.
    what: &'static str,
    /// What changed; `Err` if nothing could be read, and everything stays as it was.
    outcome: Result<ReloadSummary, StoreProblem>,
    /// New problems.
    pub(crate) problems: Vec<StoreProblem>,
    /// Problems that are solved.
    solved: Vec<StoreProblem>,
    /// What applies to the clients affected by the problems, for the log.
    meanwhile: &'static str,
    /// Set if the store has fallen behind or caught up.
    standing: Option<Standing>,
}

/// Whether a store is behind what it follows, in words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) is_behind: bool,
    pub(crate) words: &'static str,
    /// What applies while that is so, for the log.
    pub(crate) meanwhile: &'static str,
}

const BEHIND: Standing = Standing {
    is_behind: true,
    words: "out of date, because the disk could not be read completely",
    meanwhile: "; until it can be, the previous content is used",
};
const CAUGHT_UP: Standing = Standing { is_behind: false, words: "up to date again", meanwhile: "" };

impl ReloadEvent {
    /// What changed, in words; `None` if nothing did.
    pub(crate) fn summary(&self) -> Option<String> {
        let ReloadSummary { added, changed, removed, .. } =
            self.outcome.as_ref().ok().filter(|reload| !reload.is_nothing())?;
        let (name, what) = (&self.name, self.what);
        Some(format!("{name}: {added} {what} added, {changed} changed, {removed} removed"))
    }

    /// Whether the store has fallen behind or caught up, in words; `None` if neither.
    pub(crate) fn behind(&self) -> Option<(bool, String)> {
        self.standing.map(|standing| (standing.is_behind, format!("{}: {}", self.name, standing.words)))
    }

    /// Keys or users were pushed.
    pub(crate) fn changed(name: &str, what: &'static str, summary: ReloadSummary) -> Self {
        ReloadEvent { what, outcome: Ok(summary), ..Self::nothing(name) }
    }

    /// The standing of pushed credentials has changed.
    pub(crate) fn standing(name: &str, standing: Standing) -> Self {
        ReloadEvent { standing: Some(standing), ..Self::nothing(name) }
    }

    /// An entry of pushed credentials can't be parsed.
    #[cfg(feature = "nats")]
    pub(crate) fn unreadable(name: &str, problem: StoreProblem) -> Self {
        let meanwhile = "; its client is refused";
        ReloadEvent { problems: vec![problem], meanwhile, ..Self::nothing(name) }
    }

    fn nothing(name: &str) -> Self {
        let (name, outcome) = (Escaped(name.as_bytes()).to_string(), Ok(ReloadSummary::default()));
        ReloadEvent { name, what: "", outcome, problems: vec![], solved: vec![], meanwhile: "", standing: None }
    }
}

/// Called on the thread that reloads or pushes, with no lock held.
pub(crate) type ReloadObserver = dyn Fn(&ReloadEvent) + Send + Sync;

/// The receivers of events, besides the log.
#[derive(Default)]
pub(crate) struct Observers(Mutex<Vec<Weak<ReloadObserver>>>);

#[derive(Default)]
pub(super) struct Report {
    status: Mutex<StoreStatus>,
    pub(super) observers: Observers,
}

/// The result of a store's reload.
pub(super) struct ReloadResult {
    /// What the store holds, in the plural.
    pub(super) what: &'static str,
    pub(super) entries: usize,
    pub(super) files: usize,
    /// `Err` if the directory or file as a whole can't be read.
    pub(super) outcome: Result<ReloadSummary, StoreProblem>,
    /// All problems of its files, sorted by name.
    pub(super) problems: Vec<StoreProblem>,
    /// Something could not be read, but may be at the next reload.
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
        let standing = (behind != was_behind.is_some()).then_some(if behind { BEHIND } else { CAUGHT_UP });
        standing.iter().for_each(|standing| metrics::store_behind(standing.is_behind));
        let nothing = outcome.as_ref().map_or(true, ReloadSummary::is_nothing);
        let name = EscapedPath(path).to_string();
        let meanwhile = "; the previous content is still used";
        let event = ReloadEvent { name, what, outcome, problems: new, solved, meanwhile, standing };
        let is_told = !nothing || !event.problems.is_empty() || !event.solved.is_empty() || standing.is_some();
        is_told.then_some(event)
    }
}

impl Observers {
    /// Calls the observer with every event, while the observer lives.
    pub(crate) fn add(&self, observer: Weak<ReloadObserver>) {
        let mut observers = lock(&self.0);
        observers.retain(|observer| observer.strong_count() > 0);
        observers.push(observer);
    }

    /// Logs the event and passes it to the observers. No lock may be held.
    pub(crate) fn publish(&self, event: &ReloadEvent) {
        for problem in event.problems.iter().take(LOGGED) {
            log_error!("{problem}{}", event.meanwhile);
        }
        if event.problems.len() > LOGGED {
            let more = event.problems.len() - LOGGED;
            log_error!("{}: {more} more such problems", event.name);
        }
        let still = |file: &Path| event.problems.iter().any(|problem| problem.file == file);
        for problem in event.solved.iter().take(LOGGED).filter(|problem| !still(&problem.file)) {
            log_info!("resolved: {problem}");
        }
        if let Some(summary) = event.summary() {
            log_info!("{summary}");
        }
        match event.standing {
            Some(Standing { is_behind: true, words, meanwhile }) => log_warn!("{}: {words}{meanwhile}", event.name),
            Some(Standing { words, .. }) => log_info!("{}: {words}", event.name),
            None => {}
        }
        let observers = lock(&self.0).clone();
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

/// The problems that aren't in `known`. Both lists are sorted, and usually the same.
fn fresh(known: &[StoreProblem], now: &[StoreProblem]) -> Vec<StoreProblem> {
    let known: std::collections::HashSet<(&Path, Option<usize>, &str)> =
        known.iter().map(|problem| (problem.file.as_path(), problem.line, problem.what.as_str())).collect();
    let is_known = |problem: &&StoreProblem| known.contains(&(&problem.file, problem.line, &problem.what));
    now.iter().filter(|problem| !is_known(problem)).cloned().collect()
}
