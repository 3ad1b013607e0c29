//! The verification of hashed passwords, on threads that all policies of the process share, and whose number is limited so
//! that hashing takes neither all the memory nor all the cores.

use std::sync::{Arc, LazyLock, Mutex};
use std::thread::{self, Builder};
use std::time::Instant;

use zeroize::Zeroizing;

use super::hash::Cost;
use super::table::PasswordTable;
use crate::callback::{Call, Completion, Decision, run_contained};
use crate::fair_queue::{Claim, FairQueue, RecentDurations};
use crate::reason::Reason;
use crate::reload::lock;
use crate::zap::Reply;

/// Hashing keeps a core busy, so more threads would only take more memory (up to 64 MiB each).
const MAX_AT_ONCE: usize = 4;
/// For each domain.
const MAX_WAITING: usize = 64;

/// One for the process, as the limit on memory is.
pub(super) static HASHERS: LazyLock<Arc<Hashers>> =
    LazyLock::new(|| Hashers::new(thread::available_parallelism().map_or(1, usize::from).min(MAX_AT_ONCE)));

/// Threads that start on demand and end when nothing waits. Waiting jobs are served fairly, by their work.
pub(super) struct Hashers {
    state: Mutex<State>,
    at_once: usize,
}

struct State {
    waiting: FairQueue<Job>,
    threads: usize,
    recent: RecentDurations,
}

/// A password to verify.
pub(super) struct Job {
    pub(super) verify: Box<dyn FnOnce() -> Decision + Send>,
    pub(super) completion: Completion,
    pub(super) work: u64,
}

/// A call that verifies a password by hashing it.
pub(super) fn verify_call(table: Arc<PasswordTable>, username: &[u8], password: &[u8]) -> Call {
    let (username, password) = (username.to_vec(), Zeroizing::new(password.to_vec()));
    let work = table.hashed(&username).map(|phc| phc.cost).or_else(|| table.cost(&username)).map_or(1, Cost::work);
    Call::elsewhere(move |claim, completion| {
        let verify = Box::new(move || verify(&table, &username, &password));
        HASHERS.submit(claim, Job { verify, completion, work })
    })
}

/// Costs one hash for everybody: users with a hashed password, with a clear one, and unknown ones.
fn verify(table: &PasswordTable, username: &[u8], password: &[u8]) -> Decision {
    let is_right = match table.hashed(username) {
        Some(phc) => phc.matches(password),
        // A clear password is compared as usual; an unknown user never matches.
        None => match table.cost(username) {
            Some(cost) => cost.spend(password).map(|()| table.holds(username, password)),
            None => Some(table.holds(username, password)),
        },
    };
    match is_right {
        Some(true) => {
            let mut reply = Reply::new();
            reply.allow(username);
            Decision { reason: Reason::Password(table.fingerprint(username)), reply }
        }
        Some(false) => Decision::refusal(Reason::WrongPassword),
        None => Decision::refusal(Reason::NotHashed),
    }
}

impl Hashers {
    fn new(at_once: usize) -> Arc<Self> {
        let state = State { waiting: FairQueue::new(), threads: 0, recent: RecentDurations::default() };
        Arc::new(Hashers { state: Mutex::new(state), at_once })
    }

    /// Verifies a password now or in its turn. Refuses a job whose turn would come after its deadline, or whose domain has
    /// too many waiting. A job that has expired when its turn comes is dropped.
    pub(super) fn submit(self: &Arc<Self>, claim: Claim, job: Job) -> Result<(), Reason> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        if state.threads < self.at_once {
            // Nothing waits: threads end only in that case.
            state.threads += 1;
            drop(state);
            return self.start(job);
        }
        let all = state.recent.estimate(state.waiting.work_until_finished(&claim, job.work), self.at_once);
        let own = state.recent.estimate(job.work, 1);
        if all.max(own) > claim.deadline.saturating_duration_since(now) {
            return Err(Reason::TooManyCalls);
        }
        let work = job.work;
        let pushed = state.waiting.push(claim, work, job, MAX_WAITING, now);
        drop(state);
        match pushed {
            Ok(None) => Ok(()),
            Ok(Some(evicted)) => {
                (evicted.completion)(Decision::refusal(Reason::TooManyCalls));
                Ok(())
            }
            Err(_) => Err(Reason::TooManyCalls),
        }
    }

    fn start(self: &Arc<Self>, job: Job) -> Result<(), Reason> {
        let hashers = self.clone();
        let started = Builder::new().name("zmq-auth-hash".into()).spawn(move || hashers.run(job));
        started.map(drop).map_err(|error| {
            log_error!("cannot start a thread to hash a password: {error}");
            lock(&self.state).threads -= 1;
            Reason::NoThread
        })
    }

    fn run(&self, mut job: Job) {
        loop {
            let start = Instant::now();
            let decision = run_contained(job.verify);
            let took = start.elapsed();
            (job.completion)(decision);
            let mut state = lock(&self.state);
            state.recent.record(took, job.work);
            match state.waiting.pop(Instant::now(), |_| true) {
                Some((_, next)) => job = next,
                None => {
                    state.threads -= 1;
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Origin;
    use crate::fair_queue::PolicyId;
    use std::sync::Barrier;
    use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
    use std::time::Duration;

    const WAIT: Duration = Duration::from_secs(10);

    fn claim(policy: usize, deadline: Duration) -> Claim {
        let origin = Origin::of(&b"10.0.0.7"[..].into(), crate::address::Ipv6Prefix::Subnet);
        Claim { policy: PolicyId(policy), domain: Arc::from(&b"d"[..]), origin, deadline: Instant::now() + deadline }
    }

    fn job(name: usize, report: &Sender<usize>, verify: impl FnOnce() + Send + 'static) -> Job {
        let report = report.clone();
        Job {
            verify: Box::new(move || {
                verify();
                Decision::refusal(Reason::WrongPassword)
            }),
            completion: Box::new(move |_| report.send(name).unwrap()),
            work: 1,
        }
    }

    /// A thread that is busy until the barrier is passed.
    fn busy() -> (Arc<Hashers>, Arc<Barrier>, Sender<usize>, Receiver<usize>) {
        let (hashers, barrier, (report, done)) = (Hashers::new(1), Arc::new(Barrier::new(2)), channel());
        let inside = barrier.clone();
        let first = job(0, &report, move || {
            inside.wait();
        });
        assert_eq!(hashers.submit(claim(1, WAIT), first), Ok(()));
        (hashers, barrier, report, done)
    }

    #[test]
    fn policies_take_turns_and_a_domain_is_bounded() {
        let (hashers, barrier, report, done) = busy();
        for n in 1..=MAX_WAITING {
            assert_eq!(hashers.submit(claim(1, WAIT), job(n, &report, || {})), Ok(()));
        }
        assert_eq!(hashers.submit(claim(1, WAIT), job(99, &report, || {})), Err(Reason::TooManyCalls));
        for n in [101, 102] {
            assert_eq!(hashers.submit(claim(2, WAIT), job(n, &report, || {})), Ok(()));
        }
        barrier.wait();
        let order: Vec<_> = (0..6).map(|_| done.recv_timeout(WAIT).unwrap()).collect();
        assert_eq!(order, [0, 1, 101, 2, 102, 3]);
        for _ in 6..MAX_WAITING + 3 {
            done.recv_timeout(WAIT).unwrap();
        }
        while lock(&hashers.state).threads > 0 {
            thread::yield_now();
        }
    }

    #[test]
    fn what_expires_while_it_waits_is_never_hashed() {
        let (hashers, barrier, report, done) = busy();
        let expired = job(1, &report, || panic!("hashed all the same"));
        assert_eq!(hashers.submit(claim(1, Duration::from_nanos(1)), expired), Ok(()));
        assert_eq!(hashers.submit(claim(1, WAIT), job(2, &report, || {})), Ok(()));
        barrier.wait();
        drop(report);
        let finished: Vec<_> = done.iter().collect();
        assert_eq!(finished, [0, 2]);
    }

    #[test]
    fn what_cannot_be_finished_in_time_is_refused_at_once() {
        let (hashers, barrier, report, done) = busy();
        lock(&hashers.state).recent.record(Duration::from_secs(2), 1);
        assert_eq!(hashers.submit(claim(1, WAIT), job(1, &report, || {})), Ok(()));
        let late = hashers.submit(claim(1, Duration::from_secs(3)), job(2, &report, || {}));
        assert_eq!(late, Err(Reason::TooManyCalls), "it would be the second, and take 4 s");
        assert_eq!(hashers.submit(claim(2, Duration::from_secs(5)), job(3, &report, || {})), Ok(()));
        assert_eq!(done.recv_timeout(Duration::ZERO), Err(RecvTimeoutError::Timeout));
        barrier.wait();
        assert_eq!([0; 3].map(|_| done.recv_timeout(WAIT).unwrap()), [0, 1, 3]);
    }

    #[test]
    fn a_panic_is_contained_and_the_next_is_hashed() {
        let (hashers, barrier, report, done) = busy();
        hashers.submit(claim(1, WAIT), job(1, &report, || panic!("a panic that a test makes"))).unwrap();
        hashers.submit(claim(1, WAIT), job(2, &report, || {})).unwrap();
        barrier.wait();
        assert_eq!([0; 3].map(|_| done.recv_timeout(WAIT).unwrap()), [0, 1, 2]);
    }
}
