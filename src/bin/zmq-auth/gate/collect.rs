//! A gate for PUSH clients of a PULL service.

use std::mem;
use std::vec::Drain;

use zmq_auth::{AcceptedClient, Authenticator, zmq};

use super::clients::{Clients, sender_frame};
use super::counts::{Counts, Dropped};
use super::journal::Journal;
use super::traffic::{Progress, Traffic, forward, send_frame, send_rest, try_send_first, unmark_commands};

pub(super) struct Collect {
    /// Each with its sender frame.
    clients: Clients<Vec<u8>>,
    /// The metadata keys in sender frames, if the service gets such frames.
    sender_frames: Option<Vec<String>>,
    /// A message that the service's socket hasn't taken yet.
    message: Vec<zmq::Message>,
}

impl Collect {
    pub(super) fn new(
        policy: &Authenticator,
        sender_frames: Option<Vec<String>>,
        counts: Counts,
        journal: Journal,
    ) -> Self {
        Collect { clients: Clients::new(policy, counts, journal), sender_frames, message: Vec::new() }
    }

    /// Passes a message on, or drops it. Returns `false` if the service's socket takes nothing now.
    fn pass(&mut self, frames: &mut Vec<zmq::Message>, back: &zmq::Socket) -> zmq::Result<bool> {
        let Some(first) = frames.first() else { return Ok(true) };
        let keys = self.sender_frames.as_deref();
        let keep = |client: &AcceptedClient| keys.map(|keys| sender_frame(client, keys)).unwrap_or_default();
        let Some(number) = self.clients.sender(first, keep) else { return Ok(true) };
        unmark_commands(frames);
        let sender = self.clients.kept(number).filter(|_| keys.is_some());
        let takes_it = match sender {
            Some(frame) => send_frame(back, &frame[..], true)?,
            None => try_send_first(back, frames)?,
        };
        if !takes_it {
            return Ok(false);
        }
        let sent = usize::from(sender.is_none());
        match send_rest(back, frames.drain(..).skip(sent))? {
            true => self.clients.counts.to_service(),
            false => self.clients.counts.dropped(Dropped::ServiceGone),
        }
        Ok(true)
    }
}

impl Traffic for Collect {
    fn to_service(&mut self, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<Progress> {
        let mut message = mem::take(&mut self.message);
        let progress = forward(front, &mut message, |frames| self.pass(frames, back))?;
        self.message = message;
        if progress == Progress::Drained {
            self.clients.drained();
        }
        Ok(progress)
    }

    /// A PUSH socket can't receive.
    fn has_answers(&self) -> bool {
        false
    }

    fn to_clients(&mut self, _: &zmq::Socket, _: Drain<'_, zmq::Message>) -> zmq::Result<()> {
        Ok(())
    }

    fn begin_check(&mut self) {
        self.clients.begin_check();
    }

    fn check_some(&mut self, _back: &zmq::Socket) -> zmq::Result<bool> {
        Ok(self.clients.check_some())
    }
}
