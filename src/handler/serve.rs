//! The loop of the handler thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pool::Pool;
use super::socket::{Batch, NewCall, ZapSocket};
use super::thread::ThreadControl;
use super::wake::WakeReceiver;
use crate::audit::EventKind;
use crate::callback::Decision;
use crate::error::LOG_TARGET;
use crate::ffi::Errno;
use crate::reason::Reason;

/// How long callbacks that are under way may hold up the end of the thread.
const GRACE: Duration = Duration::from_millis(300);

/// What the thread owns.
pub(super) struct HandlerThread {
    pub(super) socket: ZapSocket,
    pub(super) pool: Pool,
    pub(super) wake_receiver: WakeReceiver,
    pub(super) control: Arc<ThreadControl>,
}

impl HandlerThread {
    /// Serves until the end, then frees the endpoint first and the workers second.
    pub(super) fn run(mut self) {
        match catch_unwind(AssertUnwindSafe(|| self.serve())) {
            Ok(Ok(())) => {
                // Whoever can't be told finds the door closed.
                let _ = catch_unwind(AssertUnwindSafe(|| self.socket.reject_pending()));
                log::debug!(target: LOG_TARGET, "handler stopped");
            }
            Ok(Err(Errno::TERMINATED)) => log::debug!(target: LOG_TARGET, "handler stopped: its context has ended"),
            Ok(Err(error)) => log::error!(target: LOG_TARGET, "handler stopped: libzmq failed: {error}"),
            Err(payload) => {
                // Dropping a payload may panic in its turn.
                std::mem::forget(payload);
                log::error!(target: LOG_TARGET, "handler stopped: it panicked");
            }
        }
        let HandlerThread { socket, pool, .. } = self;
        let authenticator = socket.authenticator().clone();
        drop(socket);
        authenticator.audit().abandoned(pool.stop(GRACE));
        authenticator.audit().publish(EventKind::Stopped, "handler thread stopped");
    }

    /// Until the guard says stop, or libzmq that the context has ended.
    fn serve(&mut self) -> Result<(), Errno> {
        let mut calls = Vec::new();
        loop {
            let control = &self.control;
            if control.stopping() {
                return Ok(());
            }
            // Deadlines first: a result that is late by a hair is late.
            self.socket.expire(Instant::now(), |_| {})?;
            while let Some((id, answer)) = self.pool.answer() {
                self.socket.finish(id, answer, || control.stopping())?;
            }
            self.pool.retire(Instant::now());
            // Whatever was sent, the socket is read until it is empty before it is waited for.
            let batch = self.socket.process_batch(|| control.stopping(), &mut calls)?;
            if !calls.is_empty() {
                self.start_calls(&mut calls)?;
            } else if batch == Batch::Drained {
                self.wait()?;
            }
        }
    }

    /// Until a request, an answer of a callback, a deadline, or the guard's word.
    fn wait(&mut self) -> Result<(), Errno> {
        match self.socket.socket.wait(self.wake_receiver.descriptor(), self.timeout_ms()) {
            Ok(true) => self.wake_receiver.drain(),
            Ok(false) | Err(Errno::INTERRUPTED) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn start_calls(&mut self, calls: &mut Vec<NewCall>) -> Result<(), Errno> {
        for (id, call) in calls.drain(..) {
            let at_once = self.socket.authenticator().limits().at_once();
            let started =
                if call.needs_runtime() { Err(Reason::NeedsRuntime) } else { self.pool.submit(id, call, at_once) };
            if let Err(reason) = started {
                self.socket.finish(id, Decision::refusal(reason), || false)?;
            }
        }
        Ok(())
    }

    fn timeout_ms(&self) -> i32 {
        match [self.socket.next_deadline(), self.pool.next_retirement()].into_iter().flatten().min() {
            None => -1,
            // Rounded up, so as not to spin through the last millisecond.
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                i32::try_from(left.as_millis()).unwrap_or(i32::MAX - 1) + 1
            }
        }
    }
}
