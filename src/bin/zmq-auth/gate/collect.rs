//! A gate for PUSH clients of a PULL service.

use std::vec::Drain;

use zmq_auth::{AcceptedClient, Authenticator, zmq};

use super::clients::{Clients, sender_frame};
use super::counts::{Counts, Dropped};
use super::journal::Journal;
use super::traffic::{Progress, Traffic, forward, send, unmark_commands};

pub(super) struct Collect {
    /// With the sender frame of each.
    clients: Clients<Vec<u8>>,
    /// The keys of the metadata in sender frames, where the service gets these.
    sender_frames: Option<Vec<String>>,
}

impl Collect {
    pub(super) fn new(
        policy: &Authenticator,
        sender_frames: Option<Vec<String>>,
        counts: Counts,
        journal: Journal,
    ) -> Self {
        Collect { clients: Clients::new(policy, counts, journal), sender_frames }
    }

    fn pass(&mut self, frames: &mut Vec<zmq::Message>, back: &zmq::Socket) -> zmq::Result<()> {
        let Some(first) = frames.first() else { return Ok(()) };
        let keys = self.sender_frames.as_deref();
        let keep = |client: &AcceptedClient| keys.map(|keys| sender_frame(client, keys)).unwrap_or_default();
        let Some(number) = self.clients.sender(first, keep) else { return Ok(()) };
        unmark_commands(frames);
        if let (Some(_), Some(frame)) = (keys, self.clients.kept(number)) {
            frames.insert(0, zmq::Message::from(&frame[..]));
        }
        match send(back, frames.drain(..))? {
            true => self.clients.counts.to_service(),
            false => self.clients.counts.dropped(Dropped::ServiceGone),
        }
        Ok(())
    }
}

impl Traffic for Collect {
    fn to_service(&mut self, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<Progress> {
        let progress = forward(front, back, |frames| self.pass(frames, back))?;
        if progress == Progress::Drained {
            self.clients.drained();
        }
        self.clients.take_left();
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

    fn check_some(&mut self, _: &zmq::Socket) -> zmq::Result<bool> {
        let more = self.clients.check_some();
        self.clients.take_left();
        Ok(more)
    }
}
