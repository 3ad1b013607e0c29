//! The output of gates: a line for each decision of the policy and for each action of a gate.

use std::iter;
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

/// The most lines that are queued for a slow reader.
pub(crate) const QUEUE: usize = 10_000;

/// The most lines of gates that are written before the turn of decisions, and the other way round.
const TURN: usize = 256;

/// A line about a gate. Decisions are written as `zmq-auth listen` does.
#[derive(Serialize, Default)]
pub(crate) struct GateLine {
    /// When it happened, in RFC 3339.
    pub(crate) time: String,
    /// `Listening`, `ServiceConnected`, `ServiceLost`, `ServiceHandshakeFailed`, `ClientDisconnected`, `TopicRefused`,
    /// `LinesLost`, `Stalled` or `Stopping`.
    pub(crate) event: &'static str,
    /// The gate's name; null with `LinesLost`, which is about all gates.
    pub(crate) gate: Option<String>,
    /// The endpoint for clients, with the actual port; with `Listening`.
    pub(crate) front: Option<String>,
    /// The service's endpoint; with `Listening`.
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

/// The queue for the lines of one gate. Lines that don't fit are dropped and counted, so that no gate waits for a
/// reader.
#[derive(Clone)]
pub(crate) struct Journal {
    gate: String,
    lines: SyncSender<GateLine>,
    lost: Arc<AtomicU64>,
}

impl Journal {
    /// The gate's name.
    pub(crate) fn gate(&self) -> &str {
        &self.gate
    }

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

/// Writes all lines, and makes the gates check their clients when the policy has changed.
pub(crate) struct Writer {
    sender: SyncSender<GateLine>,
    lines: Receiver<GateLine>,
    events: Events,
    ended: Arc<AtomicBool>,
    /// The number of dropped lines of gates.
    lost: Arc<AtomicU64>,
    /// How many of all lost lines have been reported.
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

    /// Once this is set, the writer writes what is queued, and ends.
    pub(crate) fn ended(&self) -> Arc<AtomicBool> {
        self.ended.clone()
    }

    /// Runs until it is ended. If the reader is gone, it says so once, and the gates go on.
    pub(crate) fn run(mut self, output: Output, gates: &[Control]) {
        let mut is_read = true;
        loop {
            // Read before the queue, so that nothing queued before the end is missed.
            let ended = self.ended.load(Ordering::Acquire);
            let mut written = 0;
            for line in self.lines.try_iter().take(TURN) {
                write(&output, &line, &line.text(), &mut is_read);
                written += 1;
            }
            self.tell_lost(&output, &mut is_read);
            // At most this long do the gates' lines wait for a decision.
            let wait = Duration::from_millis(if ended || written == TURN { 0 } else { 50 });
            let first = self.events.next_timeout(wait).into_iter();
            for event in first.chain(iter::from_fn(|| self.events.try_next())).take(TURN) {
                if matches!(event.kind, EventKind::Reloaded | EventKind::StoreCaughtUp) {
                    gates.iter().for_each(Control::check);
                }
                let (line, text) = listen::line(event);
                write(&output, &line, &text, &mut is_read);
                written += 1;
            }
            if ended && written == 0 {
                return;
            }
        }
    }

    /// Reports how many lines were lost because of a slow reader.
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
