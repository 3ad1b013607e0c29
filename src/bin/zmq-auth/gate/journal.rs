//! The lines that a gate writes: the decisions of its policy, and what it did itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use zmq_auth::{EventKind, Events};

use super::control::Control;
use crate::escape;
use crate::listen;
use crate::output::{Output, note};

/// A line about a gate. Decisions have the lines of `zmq-auth listen`.
#[derive(Serialize, Default)]
pub(crate) struct GateLine {
    /// When it happened, in RFC 3339.
    pub(crate) time: String,
    /// `Listening`, `ServiceConnected`, `ServiceLost`, `ServiceHandshakeFailed`, `ClientDisconnected`, `TopicRefused`,
    /// `MessageRefused` or `Stopping`.
    pub(crate) event: &'static str,
    /// The gate's name.
    pub(crate) gate: String,
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
        let mut text = format!("{} {} {}", self.time, self.event, escape::text(&self.gate));
        let parts = [
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

/// Takes the lines of one gate. What doesn't fit is left out: no gate waits for whoever reads them.
#[derive(Clone)]
pub(crate) struct Journal {
    gate: String,
    lines: SyncSender<GateLine>,
}

impl Journal {
    pub(crate) fn write(&self, line: GateLine) {
        let time = format!("{:.3}", Timestamp::now());
        let _ = self.lines.try_send(GateLine { time, gate: self.gate.clone(), ..line });
    }
}

/// Writes all lines, and has the gates check their clients when the policy has changed.
pub(crate) struct Writer {
    sender: SyncSender<GateLine>,
    lines: Receiver<GateLine>,
    events: Events,
    ended: Arc<AtomicBool>,
}

impl Writer {
    pub(crate) fn new(events: Events) -> Self {
        let (sender, lines) = sync_channel(10_000);
        Writer { sender, lines, events, ended: Arc::default() }
    }

    pub(crate) fn journal(&self, gate: &str) -> Journal {
        Journal { gate: gate.to_owned(), lines: self.sender.clone() }
    }

    /// Set, it ends when it has written what is there.
    pub(crate) fn ended(&self) -> Arc<AtomicBool> {
        self.ended.clone()
    }

    /// Until it is ended. A reader that is gone is noted, and the gates go on.
    pub(crate) fn run(self, output: &Output, gates: &[Control]) {
        let mut is_read = true;
        loop {
            // Before the last look.
            let ended = self.ended.load(Ordering::Acquire);
            while let Ok(line) = self.lines.try_recv() {
                write(output, &line, &line.text(), &mut is_read);
            }
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
                write(output, &line, &text, &mut is_read);
                next = self.events.try_next();
            }
        }
    }
}

fn write<T: Serialize>(output: &Output, line: &T, text: &str, is_read: &mut bool) {
    if *is_read && let Err(failure) = output.line(line, text) {
        note(format_args!("{failure}; what happens is no longer written"));
        *is_read = false;
    }
}
