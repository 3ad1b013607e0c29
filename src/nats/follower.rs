//! The handle of a follower, and its status.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::oneshot;

use super::connect::{NatsBucket, ServerWords};
use super::follow::Follow;
use crate::authenticator::check_domain;
use crate::error::{Error, Result};
use crate::escape::Escaped;
use crate::pushed::{PushedCredentials, PushedStatus};
use crate::reload::{ReloadEvent, StoreProblem, lock};
#[cfg(feature = "policy")]
use crate::{contact::Contact, reload::StoreStatus};

/// Keeps the credentials of one domain equal to those in a bucket, until it is dropped. It runs on its own thread, and
/// doesn't need a tokio runtime.
///
/// Only its own heartbeat proves contact: written into the bucket, acknowledged (by a quorum, in a cluster), and
/// received again after everything that was written before it. Once a heartbeat has come back, everybody who was
/// revoked before it was written is refused.
///
/// After a failure it resumes only if it can't have missed anything: it is the same bucket, its last proven heartbeat
/// and what it applied since are still there, and it was away for less than 10 minutes. Otherwise it reads the whole
/// bucket and applies it at once.
#[must_use]
pub struct NatsFollower {
    shared: Arc<Shared>,
    heartbeat: Duration,
    stage: Mutex<Stage>,
}

enum Stage {
    /// Not started yet.
    Ready(Box<Follow>),
    /// Dropping the sender stops the thread.
    Running(oneshot::Sender<()>, JoinHandle<()>),
    Ended,
}

/// The status of a follower.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NatsStatus {
    /// The credentials that it keeps.
    pub credentials: PushedStatus,
    /// The number of the last entry that had arrived when contact was last proven; `None` before the first proof.
    pub sequence: Option<u64>,
    /// How often the whole bucket was read and applied.
    pub snapshots: u64,
    /// Why it can't follow; `None` while it does.
    pub problem: Option<String>,
    /// The entries that can't be understood, at most 1,000, each with its problem. Their keys and users are refused.
    pub unreadable: Vec<(String, &'static str)>,
}

/// The state that the thread and the handle share.
pub(super) struct Shared {
    pub(super) credentials: PushedCredentials,
    /// Changes to the credentials have an effect only while this is the credentials' current turn.
    turn: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sequence: Option<u64>,
    snapshots: u64,
    problem: Option<String>,
    /// The last error that the NATS server sent since contact was last proven.
    heard: Option<String>,
    unreadable: BTreeMap<String, &'static str>,
}

/// Never a current turn: those count from 1.
const NO_TURN: u64 = 0;
/// How many entries that can't be understood the status names.
const NAMED: usize = 1_000;

impl NatsBucket {
    /// Follows the credentials of a domain from now on. Heartbeats are stored under the server's name, so each server
    /// needs a different one. It returns at once: until the bucket has been read, handshakes are told to retry, and
    /// [`NatsFollower::status`] says why.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::Nats`] for a server name that is empty or longer than 64 bytes; [`Error::Thread`].
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let bucket = zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?;
    /// let follower = bucket.follow("lab", "server-1")?;
    /// let auth = zmq_auth::Authenticator::new();
    /// auth.configure_curve_pushed("lab", follower.credentials())?;
    /// auth.configure_plain_pushed("lab", follower.credentials())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn follow(&self, domain: &str, server: &str) -> Result<NatsFollower> {
        let follower = self.ready_to_follow(domain, server, None)?;
        follower.start()?;
        Ok(follower)
    }

    /// A follower that is idle until it is started. It may take over the credentials of another follower: their content
    /// decides until this one has read its bucket, or until it is stale.
    pub(crate) fn ready_to_follow(
        &self,
        domain: &str,
        server: &str,
        credentials: Option<PushedCredentials>,
    ) -> Result<NatsFollower> {
        check_domain(domain)?;
        if !(1..=64).contains(&server.len()) {
            let problem = "it must have 1 to 64 bytes".into();
            return Err(Error::Nats { action: "use the server's name", problem });
        }
        let name = || format!("bucket {} of NATS, domain {domain}", self.bucket);
        let credentials = credentials.unwrap_or_else(|| PushedCredentials::new(name()));
        let shared = Arc::new(Shared { credentials, turn: AtomicU64::new(0), state: Mutex::default() });
        let follow =
            Follow { bucket: self.clone(), domain: domain.into(), server: server.into(), shared: shared.clone() };
        Ok(NatsFollower { shared, heartbeat: self.heartbeat, stage: Mutex::new(Stage::Ready(Box::new(follow))) })
    }
}

impl NatsFollower {
    /// Begins to follow. From now on, a previous follower of the same credentials can't change them.
    ///
    /// # Errors
    /// [`Error::Thread`].
    pub(crate) fn start(&self) -> Result<()> {
        let mut stage = lock(&self.stage);
        let follow = match std::mem::replace(&mut *stage, Stage::Ended) {
            Stage::Ready(follow) => follow,
            other => {
                *stage = other;
                return Ok(());
            }
        };
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let shared = self.shared.clone();
        shared.credentials.contact().is_proven_each(self.heartbeat);
        shared.turn.store(shared.credentials.next_turn(), Ordering::SeqCst);
        let run = move || {
            shared.guarded(|| {
                runtime.block_on(async {
                    tokio::select! {
                        never = follow.run() => match never {},
                        // Ends when the sender is dropped; nothing is ever sent.
                        _ = stopped => {}
                    }
                });
                // Doesn't wait for a resolver that doesn't answer.
                runtime.shutdown_background();
            });
        };
        let thread = Builder::new().name("zmq-auth-nats".into()).spawn(run).map_err(Error::Thread)?;
        *stage = Stage::Running(stop, thread);
        Ok(())
    }

    /// Stops it, after which it changes nothing. Returns whether it was running.
    pub(crate) fn stop(&self) -> bool {
        let stage = std::mem::replace(&mut *lock(&self.stage), Stage::Ended);
        let Stage::Running(stop, thread) = stage else { return false };
        self.shared.turn.store(NO_TURN, Ordering::SeqCst);
        drop(stop);
        // The thread takes no lock that the caller could hold, and catches its own panics.
        let _ = thread.join();
        true
    }

    /// The credentials that it keeps: for [`configure_curve_pushed`](crate::Authenticator::configure_curve_pushed) and
    /// [`configure_plain_pushed`](crate::Authenticator::configure_plain_pushed), and for
    /// [`limit_age`](PushedCredentials::limit_age).
    pub fn credentials(&self) -> &PushedCredentials {
        &self.shared.credentials
    }

    /// Its progress and its problems.
    pub fn status(&self) -> NatsStatus {
        let state = lock(&self.shared.state);
        NatsStatus {
            credentials: self.shared.credentials.status(),
            sequence: state.sequence,
            snapshots: state.snapshots,
            problem: state.problem.clone(),
            unreadable: state.unreadable.iter().map(|(name, problem)| (name.clone(), *problem)).collect(),
        }
    }
}

#[cfg(feature = "policy")]
impl NatsFollower {
    /// # Errors
    /// [`Error::Limit`] for a `max_age` outside its range, or shorter than three heartbeats.
    pub(crate) fn check_age(&self, max_age: Duration) -> Result<()> {
        Contact::check_age(max_age, self.heartbeat)
    }

    /// Its status as that of a store, with its name as the path.
    pub(crate) fn store_status(&self) -> (std::path::PathBuf, StoreStatus) {
        let NatsStatus { credentials, unreadable, .. } = self.status();
        let now = std::time::SystemTime::now();
        // Before the first contact it isn't known since when: say now.
        let late = credentials.age.map_or(Duration::ZERO, |age| age.saturating_sub(credentials.max_age));
        let name = std::path::PathBuf::from(self.shared.credentials.name());
        let problem = |(entry, problem): (String, &str)| StoreProblem {
            file: name.join(entry),
            line: None,
            what: problem.to_owned(),
        };
        let status = StoreStatus {
            entries: credentials.keys + credentials.users,
            watched: true,
            behind_since: credentials.is_stale.then(|| now.checked_sub(late).unwrap_or(now)),
            problems: unreadable.into_iter().map(problem).collect(),
            ..StoreStatus::default()
        };
        (name, status)
    }
}

impl Drop for NatsFollower {
    fn drop(&mut self) {
        if self.stop() && self.shared.credentials.is_used() {
            let name = Escaped(self.shared.credentials.name().as_bytes());
            log_warn!("{name}: its follower was dropped, so it will be stale: keep the NatsFollower while it is used");
        }
    }
}

impl Shared {
    pub(super) fn turn(&self) -> u64 {
        self.turn.load(Ordering::SeqCst)
    }

    /// Runs the thread's work. If that panics, nobody is accepted any more: a change may be half applied.
    fn guarded(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            self.credentials.contact().lost();
            let problem = "its thread has panicked, and nobody is accepted: restart the server".to_owned();
            log_error!("{}: {problem}", Escaped(self.credentials.name().as_bytes()));
            lock(&self.state).problem = Some(problem);
        }
    }

    /// Records that a run has begun, with a snapshot or resumed.
    pub(super) fn begins(&self, snapshot: bool) {
        if snapshot {
            lock(&self.state).unreadable.clear();
        }
    }

    pub(super) fn failed(&self, error: &Error) {
        let mut state = lock(&self.state);
        let text = match state.heard.take() {
            Some(heard) => format!("{error} (the server says: {heard})"),
            None => error.to_string(),
        };
        let is_new = state.problem.as_ref() != Some(&text);
        state.problem = Some(text.clone());
        drop(state);
        if is_new {
            let (name, text) = (Escaped(self.credentials.name().as_bytes()), Escaped(text.as_bytes()));
            log_warn!("{name}: {text}; tried again");
        }
    }

    pub(super) fn follows(&self, sequence: u64, is_snapshot: bool) {
        let mut state = lock(&self.state);
        state.sequence = Some(sequence);
        state.snapshots += u64::from(is_snapshot);
        state.heard = None;
        let problem = state.problem.take();
        drop(state);
        if problem.is_some() {
            log_info!("{}: followed again", Escaped(self.credentials.name().as_bytes()));
        }
        let status = self.credentials.status();
        if is_snapshot && status.keys + status.users == 0 {
            log_warn!("{}: it is empty: it accepts nobody", Escaped(self.credentials.name().as_bytes()));
        }
    }

    /// Records the problem of an entry, or that it has none, and publishes an event for a new problem.
    pub(super) fn entry(&self, name: &str, problem: Option<&'static str>) {
        let mut state = lock(&self.state);
        let Some(problem) = problem else {
            state.unreadable.remove(name);
            return;
        };
        let is_known = state.unreadable.get(name) == Some(&problem);
        if state.unreadable.len() < NAMED {
            state.unreadable.insert(name.to_owned(), problem);
        }
        drop(state);
        if !is_known {
            let entry = format!("{}: entry {name}", self.credentials.name());
            let problem = StoreProblem { file: entry.into(), line: None, what: problem.to_owned() };
            let event = ReloadEvent::unreadable(self.credentials.name(), problem);
            self.credentials.contact().observers().publish(&event);
        }
    }
}

impl ServerWords for Shared {
    fn heard(&self, words: &str) {
        lock(&self.state).heard = Some(words.chars().take(256).collect());
    }
}

impl fmt::Debug for NatsFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsFollower").field("status", &self.status()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_thread_is_told_and_nobody_is_accepted_any_more() {
        let bucket = NatsBucket::new("nats://127.0.0.1:1", "clients").unwrap();
        let follower = bucket.ready_to_follow("lab", "server-1", None).unwrap();
        follower.credentials().caught_up(crate::Moment::now());
        assert!(!follower.status().credentials.is_stale);
        follower.shared.guarded(|| panic!("a defect"));
        let status = follower.status();
        assert!(status.credentials.is_stale && status.problem.unwrap().contains("panicked"));
    }

    #[test]
    fn who_was_stopped_or_replaced_changes_nothing_any_more() {
        let bucket = NatsBucket::new("nats://127.0.0.1:1", "clients").unwrap();
        let one = bucket.follow("lab", "server-1").unwrap();
        let credentials = one.credentials().clone();
        let first = one.shared.turn();
        let change = || vec![(crate::PublicKey::from([7; 32]), Some(None))];
        let two = bucket.ready_to_follow("lab", "server-1", Some(credentials.clone())).unwrap();
        credentials.apply_keys(two.shared.turn(), change());
        assert_eq!(credentials.status().keys, 0, "it isn't started yet");
        two.start().unwrap();
        credentials.apply_keys(first, change());
        credentials.proven(first, crate::Moment::now());
        assert_eq!((credentials.status().keys, credentials.status().age), (0, None), "it was replaced");
        credentials.apply_keys(two.shared.turn(), change());
        assert_eq!(credentials.status().keys, 1);
        assert!(two.stop() && !two.stop());
        credentials.swap_keys(two.shared.turn(), Default::default());
        assert_eq!(credentials.status().keys, 1, "it was stopped");
    }

    #[test]
    fn a_time_without_contact_is_no_less_than_three_heartbeats() {
        let bucket = NatsBucket::new("nats://127.0.0.1:1", "clients").unwrap();
        let seconds = Duration::from_secs;
        let follower = bucket.follow("lab", "server-1").unwrap();
        let limit = |age| follower.credentials().limit_age(age, crate::OnStale::Refuse);
        assert!(limit(seconds(3)).is_ok());
        let error = limit(Duration::from_millis(2_999)).unwrap_err().to_string();
        assert!(error.contains("three heartbeats"), "{error}");
    }
}
