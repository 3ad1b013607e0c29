//! A barrier for callbacks: they wait until the test opens it, and the test can wait for a number of them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::DEADLINE;

/// Starts closed.
#[derive(Clone, Default)]
pub struct Barrier(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    waiting: usize,
}

/// Opens the barrier when it is dropped, so that a failing test leaves no thread waiting.
pub struct OpenOnDrop(Barrier);

impl Barrier {
    pub fn new() -> (Self, OpenOnDrop) {
        let barrier = Barrier::default();
        (barrier.clone(), OpenOnDrop(barrier))
    }

    /// Waits until the barrier is open.
    pub fn wait(&self) {
        let mut state = self.state();
        state.waiting += 1;
        self.0.changed.notify_all();
        while !state.open {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.waiting -= 1;
        self.0.changed.notify_all();
    }

    pub fn open(&self) {
        self.state().open = true;
        self.0.changed.notify_all();
    }

    pub fn close(&self) {
        self.state().open = false;
    }

    /// Waits until exactly this many callbacks wait at the same time.
    #[track_caller]
    pub fn wait_for(&self, count: usize) {
        let waited = self.0.changed.wait_timeout_while(self.state(), DEADLINE, |state| state.waiting != count);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        assert_eq!(state.waiting, count, "callbacks at the barrier");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenOnDrop {
    fn drop(&mut self) {
        self.0.open();
    }
}
