//! Compares a password with a hashed one: slow and large by design, so only so often at once.

use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::report::lock;
use crate::policy::PasswordTable;

/// Hashing keeps a core busy: more at once only takes memory.
const MAX_AT_ONCE: usize = 4;
/// Under way or waiting. Half of the threads that a handler has for calls, so that guesses don't take them all.
const MAX_WAITING: usize = 32;
/// No handler waits longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verified {
    Right,
    Wrong,
    /// Too many of them are under way.
    Busy,
    /// There is no memory for it.
    Failed,
}

/// Costs one hash whoever asks: a user with a hashed password, one with a clear one, or nobody at all.
pub(crate) fn verify(table: &PasswordTable, username: &[u8], password: &[u8]) -> Verified {
    let Some(_turn) = SLOTS.wait() else { return Verified::Busy };
    let found = match table.hashed(username) {
        Some(phc) => phc.matches(password),
        // A clear password is compared as ever; an unknown user never matches.
        None => match table.cost(username) {
            Some(cost) => cost.spend(password).map(|()| table.holds(username, password)),
            None => Some(table.holds(username, password)),
        },
    };
    match found {
        Some(true) => Verified::Right,
        Some(false) => Verified::Wrong,
        None => Verified::Failed,
    }
}

/// For the whole process: the bound is on its memory.
static SLOTS: LazyLock<Slots> = LazyLock::new(|| {
    Slots::new(thread::available_parallelism().map_or(1, usize::from).min(MAX_AT_ONCE), MAX_WAITING, PATIENCE)
});

struct Slots {
    state: Mutex<State>,
    freed: Condvar,
    at_once: usize,
    waiting: usize,
    patience: Duration,
}

#[derive(Default)]
struct State {
    running: usize,
    all: usize,
}

/// One of those that may run; given back when dropped.
struct Turn<'a>(&'a Slots);

impl Slots {
    fn new(at_once: usize, waiting: usize, patience: Duration) -> Self {
        Slots { state: Mutex::default(), freed: Condvar::new(), at_once, waiting, patience }
    }

    /// `None` where too many wait, or for too long.
    fn wait(&self) -> Option<Turn<'_>> {
        let mut state = lock(&self.state);
        if state.all >= self.waiting {
            return None;
        }
        state.all += 1;
        let is_full = |state: &mut State| state.running >= self.at_once;
        let waited = self.freed.wait_timeout_while(state, self.patience, is_full);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            state.all -= 1;
            return None;
        }
        state.running += 1;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.running -= 1;
        state.all -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_so_many_waiting_and_no_more() {
        let slots = Slots::new(2, 3, Duration::from_secs(60));
        let (first, second) = (slots.wait().unwrap(), slots.wait().unwrap());
        thread::scope(|scope| {
            let third = scope.spawn(|| slots.wait().is_some());
            // The third waits, and leaves no room for a fourth.
            while lock(&slots.state).all < 3 {
                thread::yield_now();
            }
            assert!(slots.wait().is_none());
            assert!(!third.is_finished());
            drop(first);
            assert!(third.join().unwrap());
        });
        drop(second);
        let state = lock(&slots.state);
        assert_eq!((state.running, state.all), (0, 0));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let slots = Slots::new(1, 3, Duration::from_millis(1));
        let turn = slots.wait().unwrap();
        assert!(slots.wait().is_none());
        drop(turn);
        assert!(slots.wait().is_some());
    }
}
