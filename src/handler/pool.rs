//! A pool of callback threads, which are started on demand, kept for the next call, and abandoned if a callback doesn't
//! return. Its [`Schedule`] decides which call gets a thread.
//!
//! The handler thread owns all the state; a worker only has a channel for its next call and one for the decisions. It
//! holds no socket, no context and no lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::engine::{CallId, NewCall};
use super::schedule::{Admission, Schedule};
use crate::audit::Audit;
use crate::authenticator::CallLimits;
use crate::callback::Decision;
use crate::reason::Reason;

/// A worker that has been idle for this long ends.
const IDLE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct WorkerId(u64);

struct Worker {
    calls: Sender<NewCall>,
    thread: JoinHandle<()>,
}

struct Done {
    /// `None` if the call has its own threads.
    worker: Option<WorkerId>,
    call: CallId,
    decision: Decision,
}

/// Wakes the handler when there is a decision.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

/// The workers of one handler.
pub(crate) struct Pool {
    workers: HashMap<WorkerId, Worker>,
    // With the start of their idle time, longest first. The last to finish is used first, so that the others can end.
    idle: VecDeque<(Instant, WorkerId)>,
    done: Receiver<Done>,
    report: Sender<Done>,
    wake: Wake,
    next: u64,
    schedule: Schedule,
}

impl Pool {
    pub(crate) fn new(wake: Wake) -> Self {
        let (report, done) = channel();
        Pool { workers: HashMap::new(), idle: VecDeque::new(), done, report, wake, next: 0, schedule: Schedule::new() }
    }

    /// Runs the call now or later, at most `at_once` at a time. An error names the call that is refused: this one, or one that
    /// was waiting.
    pub(crate) fn submit(&mut self, call: NewCall, at_once: usize) -> Result<(), (CallId, Reason)> {
        if call.call.runs_elsewhere() {
            return self.start_elsewhere(call);
        }
        match self.schedule.admit(call, at_once, Instant::now()) {
            Admission::Begin(call) => self.run(call, at_once),
            Admission::Wait => Ok(()),
            Admission::Refuse(id) => Err((id, Reason::TooManyCalls)),
        }
    }

    /// Runs a waiting call, if one may run now. Call it until it returns `None`. Errors as for [`submit`](Self::submit).
    pub(crate) fn run_next(&mut self, at_once: usize) -> Option<Result<(), (CallId, Reason)>> {
        let call = self.schedule.next(at_once, Instant::now())?;
        Some(self.run(call, at_once))
    }

    /// Called when the deadline of a request has passed: returns why it is refused.
    pub(crate) fn overdue(&mut self, id: CallId, limits: &CallLimits, audit: &Audit) -> Reason {
        self.schedule.overdue(id, limits.at_once(), limits.deadline(), audit)
    }

    /// Runs the call on an idle worker or a new one.
    fn run(&mut self, mut call: NewCall, at_once: usize) -> Result<(), (CallId, Reason)> {
        let id = call.id;
        while let Some((_, worker)) = self.idle.pop_back() {
            let Some(found) = self.workers.get(&worker) else { continue };
            match found.calls.send(call) {
                Ok(()) => return Ok(()),
                // A worker only ends when its sender is dropped; if it did anyway, the call isn't lost.
                Err(unsent) => {
                    call = unsent.0;
                    self.workers.remove(&worker);
                }
            }
        }
        let started = self.start().map_err(|error| log_error!("cannot start a thread for a callback: {error}"));
        // The thread was just started, and only ends when this sender is dropped.
        let sent = started.and_then(|(worker, thread)| {
            let sent = thread.calls.send(call).map_err(drop);
            self.workers.insert(worker, thread);
            sent
        });
        sent.map_err(|()| {
            self.schedule.ended(id, at_once, Instant::now());
            (id, Reason::NoThread)
        })
    }

    fn start_elsewhere(&mut self, call: NewCall) -> Result<(), (CallId, Reason)> {
        let NewCall { id, call, claim } = call;
        let (report, wake) = (self.report.clone(), self.wake.clone());
        let completion = move |decision| {
            if report.send(Done { worker: None, call: id, decision }).is_ok() {
                wake();
            }
        };
        call.start(&claim, Box::new(completion)).map_err(|reason| (id, reason))
    }

    fn start(&mut self) -> std::io::Result<(WorkerId, Worker)> {
        let id = WorkerId(self.next);
        let (calls, receiver) = channel();
        let (report, wake) = (self.report.clone(), self.wake.clone());
        let thread = Builder::new().name("zmq-auth-call".into()).spawn(move || work(id, &receiver, &report, &wake))?;
        self.next += 1;
        Ok((id, Worker { calls, thread }))
    }

    /// Returns a decision, if there is one.
    pub(crate) fn next_decision(&mut self, at_once: usize) -> Option<(CallId, Decision)> {
        let done = self.done.try_recv().ok()?;
        Some(self.take(done, at_once))
    }

    fn take(&mut self, done: Done, at_once: usize) -> (CallId, Decision) {
        if let Some(worker) = done.worker {
            let now = Instant::now();
            self.idle.push_back((now, worker));
            self.schedule.ended(done.call, at_once, now);
        }
        (done.call, done.decision)
    }

    /// Ends workers that have been idle for too long.
    pub(crate) fn retire(&mut self, now: Instant) {
        while let Some((since, worker)) = self.idle.front().copied() {
            if now.saturating_duration_since(since) < IDLE {
                return;
            }
            self.idle.pop_front();
            // Dropping its sender ends the thread.
            self.workers.remove(&worker);
        }
    }

    /// When [`retire`](Self::retire) must be called next.
    pub(crate) fn next_retirement(&self) -> Option<Instant> {
        self.idle.front().map(|(since, _)| *since + IDLE)
    }

    /// The number of workers that have a call.
    #[cfg(feature = "tokio")]
    pub(crate) fn busy(&self) -> usize {
        self.workers.len() - self.idle.len()
    }

    /// Ends the workers, waiting for busy ones for at most `grace`. Returns the number that did not end.
    pub(crate) fn stop(mut self, grace: Duration) -> usize {
        let end = Instant::now() + grace;
        // Dropping the sender of its calls ends an idle worker.
        let mut threads: HashMap<WorkerId, JoinHandle<()>> = HashMap::new();
        let mut busy = 0;
        for (id, worker) in self.workers.drain() {
            if self.idle.iter().any(|(_, idle)| *idle == id) {
                drop(worker.calls);
                let _ = worker.thread.join();
            } else {
                threads.insert(id, worker.thread);
                busy += 1;
            }
        }
        while busy > 0 {
            match self.done.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(done) => {
                    if let Some(thread) = done.worker.and_then(|worker| threads.remove(&worker)) {
                        busy -= 1;
                        let _ = thread.join();
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        busy
    }
}

fn work(worker: WorkerId, calls: &Receiver<NewCall>, report: &Sender<Done>, wake: &Wake) {
    while let Ok(NewCall { id, call, claim }) = calls.recv() {
        let decision = call.run(&claim);
        if report.send(Done { worker: Some(worker), call: id, decision }).is_err() {
            return;
        }
        wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticator::Authenticator;
    use crate::handler::engine::{Action, Engine};
    use std::sync::Barrier;

    fn call(engine: &mut Engine<()>) -> NewCall {
        let frames: [&[u8]; 8] = [b"1.0", b"1", b"d", b"127.0.0.1", b"", b"PLAIN", b"u", b"p"];
        match engine.receive(&frames, Instant::now, || ()) {
            Action::Run(call) => call,
            Action::SendReply | Action::Drop => panic!("a callback decides"),
        }
    }

    fn wait_for_decision(pool: &mut Pool) -> CallId {
        let done = pool.done.recv_timeout(Duration::from_secs(10)).expect("an answer within 10 s");
        pool.take(done, 64).0
    }

    fn set_up(callback: impl Fn() -> bool + Send + Sync + 'static) -> (Engine<()>, Pool) {
        let authenticator = Authenticator::new();
        authenticator.configure_plain_callback("d", move |_, _, _| callback()).unwrap();
        (Engine::new(authenticator), Pool::new(Arc::new(|| {})))
    }

    #[test]
    fn one_thread_serves_calls_that_come_one_by_one() {
        let (mut engine, mut pool) = set_up(|| true);
        for _ in 0..100 {
            let call = call(&mut engine);
            let id = call.id;
            pool.submit(call, 64).unwrap();
            assert_eq!(wait_for_decision(&mut pool), id);
        }
        assert_eq!(pool.workers.len(), 1);
        assert_eq!(pool.stop(Duration::from_secs(10)), 0);
    }

    #[test]
    fn the_bound_holds_and_is_free_again_afterwards() {
        let barrier = Arc::new(Barrier::new(3));
        let inside = barrier.clone();
        let (mut engine, mut pool) = set_up(move || {
            inside.wait();
            true
        });
        for _ in 0..2 {
            pool.submit(call(&mut engine), 2).unwrap();
        }
        let refused = call(&mut engine);
        let id = refused.id;
        assert_eq!(pool.submit(refused, 2), Err((id, Reason::TooManyCalls)));
        barrier.wait();
        wait_for_decision(&mut pool);
        wait_for_decision(&mut pool);
        let taken = call(&mut engine);
        let id = taken.id;
        assert_eq!(pool.submit(taken, 2), Ok(()));
        // Its two companions at the barrier, so that it returns.
        std::thread::scope(|scope| {
            scope.spawn(|| barrier.wait());
            barrier.wait();
        });
        assert_eq!(wait_for_decision(&mut pool), id);
        assert_eq!(pool.stop(Duration::from_secs(10)), 0);
    }

    #[test]
    fn idle_workers_end_and_later_calls_get_new_ones() {
        let (mut engine, mut pool) = set_up(|| true);
        pool.submit(call(&mut engine), 1).unwrap();
        wait_for_decision(&mut pool);
        let retirement = pool.next_retirement().unwrap();
        pool.retire(retirement - Duration::from_millis(1));
        assert_eq!(pool.workers.len(), 1);
        pool.retire(retirement);
        assert_eq!((pool.workers.len(), pool.next_retirement()), (0, None));
        let second = call(&mut engine);
        let id = second.id;
        pool.submit(second, 1).unwrap();
        assert_eq!(wait_for_decision(&mut pool), id);
        assert_eq!(pool.stop(Duration::from_secs(10)), 0);
    }

    #[test]
    fn a_callback_that_does_not_return_is_left_behind() {
        let barrier = Arc::new(Barrier::new(2));
        let inside = barrier.clone();
        let (mut engine, mut pool) = set_up(move || {
            inside.wait();
            true
        });
        pool.submit(call(&mut engine), 2).unwrap();
        assert_eq!(pool.stop(Duration::from_millis(1)), 1);
        barrier.wait();
    }
}
