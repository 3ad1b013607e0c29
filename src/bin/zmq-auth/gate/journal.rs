//! The lines that a gate writes: the decisions of its policy, and what it did itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use jiff::Timestamp;
use metrics::{Counter, counter};
use serde::Serialize;
use zmq_auth::{EventKind, Events};

use super::control::Control;
use crate::escape;
use crate::listen;
use crate::output::{Output, note};

/// How many lines wait at most, for whoever reads them.
pub(crate) const QUEUE: usize = 10_000;

/// A line about a gate. Decisions have the lines of `zmq-auth listen`.
#[derive(Serialize, Default)]
pub(crate) struct GateLine {
    /// When it happened, in RFC 3339.
    pub(crate) time: String,
    /// `Listening`, `ServiceConnected`, `ServiceLost`, `ServiceHandshakeFailed`, `ClientDisconnected`, `TopicRefused`,
    /// `LinesLost` or `Stopping`.
    pub(crate) event: &'static str,
    /// The gate's name; null with `LinesLost`, which is about all.
    pub(crate) gate: Option<String>,
    /// Where clients connect to, with the port that was chosen; with `Listening`.
    pub(crate) front: Option<String>,
    /// Where the service is; with `Listening`.
    pub(crate) back: Option<String>,
    /// The client's user id.
    pub(crate) user_id: Option<String>,
    /// The client's address.
    pub(crate) address: Option<String>,
    /// Why, in words.
    pub(crate) reason: Option<String>,
}

impl GateLine {
    fn text(&self) -> String {
        let mut text = format!("{} {}", self.time, self.event);
        let parts = [
            (" ", &self.gate),
            (" ", &self.front),
            (" → ", &self.back),
            (" user id ", &self.user_id),
            (" from ", &self.address),
            (": ", &self.reason),
        ];
        for (before, part) in parts {
            if let Some(part) = part {
                text += before;
                text += &escape::text(part);
            }
        }
        text
    }
}

/// Takes the lines of one gate. What doesn't fit is left out and counted: no gate waits for whoever reads them.
#[derive(Clone)]
pub(crate) struct Journal {
    gate: String,
    lines: SyncSender<GateLine>,
    lost: Arc<AtomicU64>,
}

impl Journal {
    pub(crate) fn write(&self, line: GateLine) {
        let line = GateLine { time: now(), gate: Some(self.gate.clone()), ..line };
        if self.lines.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// Writes all lines, and has the gates check their clients when the policy has changed.
pub(crate) struct Writer {
    sender: SyncSender<GateLine>,
    lines: Receiver<GateLine>,
    events: Events,
    ended: Arc<AtomicBool>,
    /// Lines of gates that didn't fit.
    lost: Arc<AtomicU64>,
    /// How many of all that didn't fit have been told.
    told: u64,
    lost_lines: Counter,
}

impl Writer {
    pub(crate) fn new(events: Events) -> Self {
        let (sender, lines) = sync_channel(QUEUE);
        let lost_lines = counter!("zmq_auth_gate_lines_lost_total");
        Writer { sender, lines, events, ended: Arc::default(), lost: Arc::default(), told: 0, lost_lines }
    }

    pub(crate) fn journal(&self, gate: &str) -> Journal {
        Journal { gate: gate.to_owned(), lines: self.sender.clone(), lost: self.lost.clone() }
    }

    /// Set, it ends when it has written what is there.
    pub(crate) fn ended(&self) -> Arc<AtomicBool> {
        self.ended.clone()
    }

    /// Until it is ended. A reader that is gone is noted, and the gates go on.
    pub(crate) fn run(mut self, output: Output, gates: &[Control]) {
        let mut is_read = true;
        loop {
            // Before the last look.
            let ended = self.ended.load(Ordering::Acquire);
            while let Ok(line) = self.lines.try_recv() {
                write(&output, &line, &line.text(), &mut is_read);
            }
            self.tell_lost(&output, &mut is_read);
            // Lines of the gates wait no longer than this.
            let mut next = self.events.next_timeout(Duration::from_millis(if ended { 0 } else { 50 }));
            if ended && next.is_none() {
                return;
            }
            while let Some(event) = next {
                if matches!(event.kind, EventKind::Reloaded | EventKind::StoreCaughtUp) {
                    gates.iter().for_each(Control::check);
                }
                let (line, text) = listen::line(event);
                write(&output, &line, &text, &mut is_read);
                next = self.events.try_next();
            }
        }
    }

    /// Says how many lines weren't written, since a reader has been slow.
    fn tell_lost(&mut self, output: &Output, is_read: &mut bool) {
        let lost = self.lost.load(Ordering::Relaxed) + self.events.dropped();
        if lost > self.told {
            self.lost_lines.absolute(lost);
            let reason = format!("{} lines were not written: standard output isn't read fast enough", lost - self.told);
            self.told = lost;
            let line = GateLine { time: now(), event: "LinesLost", reason: Some(reason), ..GateLine::default() };
            write(output, &line, &line.text(), is_read);
        }
    }
}

fn write<T: Serialize>(output: &Output, line: &T, text: &str, is_read: &mut bool) {
    if *is_read && let Err(failure) = output.line(line, text) {
        note(format_args!("{failure}; what happens is no longer written"));
        *is_read = false;
    }
}
