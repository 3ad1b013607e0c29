//! Watches the loops of gates from outside, since a call of libzmq can't be interrupted.
//!
//! libzmq may keep a loop inside one call: an XPUB socket receives a client's subscriptions as long as there are any. If a
//! loop turns late, its clients are checked from here, so that a client which causes that can be revoked: without its
//! connection, the call returns. If the loop doesn't turn at all, the process ends, which disconnects everybody.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::control::Control;
use super::journal::{GateLine, Journal};
use super::publish::Checker;
use crate::output::Failure;

/// The time between two looks at the loops. A loop turns twice a second or more often.
const LOOK: Duration = Duration::from_millis(250);

/// A loop that hasn't turned for this many looks in a row is late, or has stalled (10 s). The looks are counted rather
/// than the time: while the process or the machine is suspended, there are none.
const LATE: u32 = 3;
const STALLED: u32 = 40;

/// A gate that is watched.
pub(super) struct Watched {
    control: Control,
    checker: Option<Checker>,
    journal: Journal,
    turns: Option<u64>,
    looks: u32,
}

impl Watched {
    pub(super) fn new(control: Control, checker: Option<Checker>, journal: Journal) -> Self {
        Watched { turns: control.turns(), control, checker, journal, looks: 0 }
    }

    /// Returns whether the loop has stalled.
    fn look(&mut self) -> bool {
        let turns = self.control.turns();
        self.looks = if turns.is_some() && turns == self.turns { self.looks + 1 } else { 0 };
        self.turns = turns;
        if self.looks >= LATE
            && let Some(checker) = &self.checker
        {
            checker.check();
        }
        self.looks >= STALLED
    }
}

/// Watches until `ended` has no sender any more. Returns an error as soon as a loop has stalled.
pub(super) fn watch(mut gates: Vec<Watched>, ended: &Receiver<()>) -> Result<(), Failure> {
    let every = sd_notify::watchdog_enabled().map(|limit| limit / 4);
    let mut told = Instant::now();
    while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        for gate in &mut gates {
            if gate.look() {
                let reason = "it has done nothing for 10 s: the program ends, so that no client stays connected";
                gate.journal.write(GateLine {
                    event: "Stalled",
                    reason: Some(reason.to_owned()),
                    ..GateLine::default()
                });
                return Err(Failure::new(format!("the gate {} has stalled for 10 s", gate.journal.gate()))
                    .hint("The program ends, so that no client stays connected. Let a supervisor restart it."));
            }
        }
        if every.is_some_and(|every| told.elapsed() >= every) {
            told = Instant::now();
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    }
    Ok(())
}
