//! A pool of threads for callbacks: started on demand, kept for the next call, and abandoned if a callback doesn't
//! return.
//!
//! The handler thread owns all the state; a worker has a channel for its next call and one for the answers. It holds no
//! socket, no context and no lock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use super::engine::CallId;
use crate::callback::{Call, Decision};
use crate::reason::Reason;

/// A worker that has had no work for this time is let go.
const IDLE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct WorkerId(u64);

struct Worker {
    calls: Sender<(CallId, Call)>,
    thread: JoinHandle<()>,
}

struct Done {
    worker: WorkerId,
    call: CallId,
    decision: Decision,
}

/// Wakes the handler for a decision.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

/// The workers of one handler.
pub(crate) struct Pool {
    workers: HashMap<WorkerId, Worker>,
    // Since when, the longest first. The one that finished last is asked first: the others get to end.
    idle: VecDeque<(Instant, WorkerId)>,
    done: Receiver<Done>,
    report: Sender<Done>,
    wake: Wake,
    next: u64,
}

impl Pool {
    pub(crate) fn new(wake: Wake) -> Self {
        let (report, done) = channel();
        Pool { workers: HashMap::new(), idle: VecDeque::new(), done, report, wake, next: 0 }
    }

    /// Runs the call on an idle worker or a new one; refuses where `at_once` workers are busy, or no thread can be had.
    pub(crate) fn submit(&mut self, id: CallId, mut call: Call, at_once: usize) -> Result<(), Reason> {
        while let Some((_, worker)) = self.idle.pop_back() {
            let Some(found) = self.workers.get(&worker) else { continue };
            match found.calls.send((id, call)) {
                Ok(()) => return Ok(()),
                // No worker ends before its sender is dropped; if one has, the call isn't lost with it.
                Err(unsent) => {
                    call = unsent.0.1;
                    self.workers.remove(&worker);
                }
            }
        }
        if self.workers.len() >= at_once {
            return Err(Reason::TooManyCalls);
        }
        let worker = self.start().map_err(|error| {
            log_error!("cannot start a thread for a callback: {error}");
            Reason::NoThread
        })?;
        // The thread has just been started, and ends only when this sender is dropped.
        let sent = worker.1.calls.send((id, call)).map_err(|_| Reason::NoThread);
        self.workers.insert(worker.0, worker.1);
        sent
    }

    fn start(&mut self) -> std::io::Result<(WorkerId, Worker)> {
        let id = WorkerId(self.next);
        let (calls, receiver) = channel();
        let (report, wake) = (self.report.clone(), self.wake.clone());
        let thread = Builder::new().name("zmq-auth-call".into()).spawn(move || work(id, &receiver, &report, &wake))?;
        self.next += 1;
        Ok((id, Worker { calls, thread }))
    }

    /// The next decision that is there.
    pub(crate) fn next_decision(&mut self) -> Option<(CallId, Decision)> {
        let done = self.done.try_recv().ok()?;
        self.idle.push_back((Instant::now(), done.worker));
        Some((done.call, done.decision))
    }

    /// Lets go of the workers that have had no work for long.
    pub(crate) fn retire(&mut self, now: Instant) {
        while let Some((since, worker)) = self.idle.front().copied() {
            if now.saturating_duration_since(since) < IDLE {
                return;
            }
            self.idle.pop_front();
            // Its sender goes, and so does the thread.
            self.workers.remove(&worker);
        }
    }

    /// When [`retire`](Self::retire) has something to do.
    pub(crate) fn next_retirement(&self) -> Option<Instant> {
        self.idle.front().map(|(since, _)| *since + IDLE)
    }

    /// How many workers have a call.
    #[cfg(feature = "tokio")]
    pub(crate) fn busy(&self) -> usize {
        self.workers.len() - self.idle.len()
    }

    /// Ends the workers; gives the busy ones so much time to return. Tells how many did not.
    pub(crate) fn stop(mut self, grace: Duration) -> usize {
        let end = Instant::now() + grace;
        // An idle worker ends when the sender of its calls is dropped.
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
                    busy -= 1;
                    if let Some(thread) = threads.remove(&done.worker) {
                        let _ = thread.join();
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        busy
    }
}

fn work(worker: WorkerId, calls: &Receiver<(CallId, Call)>, report: &Sender<Done>, wake: &Wake) {
    while let Ok((id, call)) = calls.recv() {
        let decision = call.run();
        if report.send(Done { worker, call: id, decision }).is_err() {
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

    fn call(engine: &mut Engine<()>) -> (CallId, Call) {
        let frames: [&[u8]; 8] = [b"1.0", b"1", b"d", b"127.0.0.1", b"", b"PLAIN", b"u", b"p"];
        match engine.receive(&frames, Instant::now, || ()) {
            Action::Run(id, call) => (id, call),
            Action::SendReply | Action::Drop => panic!("a callback decides"),
        }
    }

    fn wait_for_decision(pool: &mut Pool) -> CallId {
        let done = pool.done.recv_timeout(Duration::from_secs(10)).expect("an answer within 10 s");
        pool.idle.push_back((Instant::now(), done.worker));
        done.call
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
            let (id, call) = call(&mut engine);
            pool.submit(id, call, 64).unwrap();
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
            let (id, call) = call(&mut engine);
            pool.submit(id, call, 2).unwrap();
        }
        let (id, refused) = call(&mut engine);
        assert_eq!(pool.submit(id, refused, 2), Err(Reason::TooManyCalls));
        barrier.wait();
        wait_for_decision(&mut pool);
        wait_for_decision(&mut pool);
        let (id, taken) = call(&mut engine);
        assert_eq!(pool.submit(id, taken, 2), Ok(()));
        // Its two companions at the barrier, so that it returns.
        std::thread::scope(|scope| {
            scope.spawn(|| barrier.wait());
            barrier.wait();
        });
        assert_eq!(wait_for_decision(&mut pool), id);
        assert_eq!(pool.stop(Duration::from_secs(10)), 0);
    }

    #[test]
    fn workers_without_work_are_let_go_and_none_is_lost() {
        let (mut engine, mut pool) = set_up(|| true);
        let (id, first) = call(&mut engine);
        pool.submit(id, first, 1).unwrap();
        wait_for_decision(&mut pool);
        let retirement = pool.next_retirement().unwrap();
        pool.retire(retirement - Duration::from_millis(1));
        assert_eq!(pool.workers.len(), 1);
        pool.retire(retirement);
        assert_eq!((pool.workers.len(), pool.next_retirement()), (0, None));
        let (id, second) = call(&mut engine);
        pool.submit(id, second, 1).unwrap();
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
        let (id, call) = call(&mut engine);
        pool.submit(id, call, 2).unwrap();
        assert_eq!(pool.stop(Duration::from_millis(1)), 1);
        barrier.wait();
    }
}
