//! A place where callbacks wait until the test lets them go on, and where it sees how many wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::DEADLINE;

/// Closed when it is made.
#[derive(Clone, Default)]
pub struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: bool,
    inside: usize,
}

/// Opens the gate when it is dropped, so that a test that fails leaves no thread behind it.
pub struct OpenAtEnd(Gate);

impl Gate {
    pub fn new() -> (Self, OpenAtEnd) {
        let gate = Gate::default();
        (gate.clone(), OpenAtEnd(gate))
    }

    /// Waits until the gate is open.
    pub fn pass(&self) {
        let mut state = self.state();
        state.inside += 1;
        self.0.changed.notify_all();
        while !state.open {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.inside -= 1;
        self.0.changed.notify_all();
    }

    pub fn open(&self) {
        self.state().open = true;
        self.0.changed.notify_all();
    }

    pub fn close(&self) {
        self.state().open = false;
    }

    /// Waits until so many wait at the gate, all at the same time.
    #[track_caller]
    pub fn wait_for(&self, inside: usize) {
        let waited = self.0.changed.wait_timeout_while(self.state(), DEADLINE, |state| state.inside != inside);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        assert_eq!(state.inside, inside, "callbacks at the gate");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenAtEnd {
    fn drop(&mut self) {
        self.0.open();
    }
}
