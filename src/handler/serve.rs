//! The loop of the handler thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::desk::{Assignment, Desk, Round};
use super::pool::Pool;
use super::thread::Control;
use super::wake::Bell;
use crate::audit::{EventKind, TARGET};
use crate::ffi::Errno;
use crate::policy::{Answer, Reason};

/// How long callbacks that are under way may hold up the end of the thread.
const GRACE: Duration = Duration::from_millis(300);

/// What the thread owns.
pub(super) struct Server {
    pub(super) desk: Desk,
    pub(super) pool: Pool,
    pub(super) bell: Bell,
    pub(super) control: Arc<Control>,
}

impl Server {
    /// Serves until the end, then frees the endpoint first and the workers second.
    pub(super) fn run(mut self) {
        match catch_unwind(AssertUnwindSafe(|| self.serve())) {
            Ok(Ok(())) => {
                // Whoever can't be told finds the door closed.
                let _ = catch_unwind(AssertUnwindSafe(|| self.desk.turn_away()));
                log::debug!(target: TARGET, "handler stopped");
            }
            Ok(Err(Errno::TERMINATED)) => log::debug!(target: TARGET, "handler stopped: its context has ended"),
            Ok(Err(error)) => log::error!(target: TARGET, "handler stopped: libzmq failed: {error}"),
            Err(payload) => {
                // Dropping a payload may panic in its turn.
                std::mem::forget(payload);
                log::error!(target: TARGET, "handler stopped: it panicked");
            }
        }
        let Server { desk, pool, .. } = self;
        let authenticator = desk.authenticator().clone();
        drop(desk);
        authenticator.audit().abandoned(pool.stop(GRACE));
        authenticator.audit().tell(EventKind::Stopped, "handler thread stopped");
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
            self.desk.expire(Instant::now(), |_| {})?;
            while let Some((id, answer)) = self.pool.answer() {
                self.desk.finish(id, answer, || control.stopping())?;
            }
            self.pool.retire(Instant::now());
            // Whatever was sent, the socket is read until it is empty before it is waited for.
            let round = self.desk.round(|| control.stopping(), &mut calls)?;
            if !calls.is_empty() {
                self.assign(&mut calls)?;
            } else if round == Round::Drained {
                self.wait()?;
            }
        }
    }

    /// Until a request, an answer of a callback, a deadline, or the guard's word.
    fn wait(&mut self) -> Result<(), Errno> {
        match self.desk.socket.wait(self.bell.descriptor(), self.timeout_ms()) {
            Ok(true) => self.bell.silence(),
            Ok(false) | Err(Errno::INTERRUPTED) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn assign(&mut self, calls: &mut Vec<Assignment>) -> Result<(), Errno> {
        for (id, call) in calls.drain(..) {
            let at_once = self.desk.authenticator().limits().at_once();
            let assigned =
                if call.needs_runtime() { Err(Reason::NeedsRuntime) } else { self.pool.submit(id, call, at_once) };
            if let Err(reason) = assigned {
                self.desk.finish(id, Answer::refusal(reason), || false)?;
            }
        }
        Ok(())
    }

    fn timeout_ms(&self) -> i32 {
        match [self.desk.next_deadline(), self.pool.next_retirement()].into_iter().flatten().min() {
            None => -1,
            // Rounded up, so as not to spin through the last millisecond.
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                i32::try_from(left.as_millis()).unwrap_or(i32::MAX - 1) + 1
            }
        }
    }
}
