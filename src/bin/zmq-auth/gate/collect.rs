//! A gate for PUSH clients of a PULL service.

use zmq_auth::{AcceptedClient, Authenticator, zmq};

use super::clients::{Clients, sender_frame};
use super::counts::{Counts, Dropped};
use super::journal::Journal;
use super::traffic::{BATCH, Progress, Traffic, is_writable, receive, send, send_frame, unmark_commands};

pub(super) struct Collect {
    /// With the sender frame of each.
    clients: Clients<Vec<u8>>,
    /// The keys of the metadata in sender frames, where the service gets these.
    sender_frames: Option<Vec<String>>,
    frames: Vec<zmq::Message>,
}

impl Collect {
    pub(super) fn new(
        policy: &Authenticator,
        sender_frames: Option<Vec<String>>,
        counts: Counts,
        journal: Journal,
    ) -> Self {
        Collect { clients: Clients::new(policy, counts, journal), sender_frames, frames: Vec::new() }
    }

    fn pass(&mut self, back: &zmq::Socket) -> zmq::Result<()> {
        let Some(first) = self.frames.first() else { return Ok(()) };
        let keys = self.sender_frames.as_deref();
        let keep = |client: &AcceptedClient| keys.map(|keys| sender_frame(client, keys)).unwrap_or_default();
        let Some(number) = self.clients.sender(first, keep) else { return Ok(()) };
        unmark_commands(&mut self.frames);
        let has_sender = match (keys, self.clients.kept(number)) {
            (Some(_), Some(frame)) => send_frame(back, &frame[..], true)?,
            _ => true,
        };
        match has_sender && send(back, self.frames.drain(..))? {
            true => self.clients.counts.to_service(),
            false => self.clients.counts.dropped(Dropped::ServiceGone),
        }
        Ok(())
    }
}

impl Traffic for Collect {
    fn to_service(&mut self, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<Progress> {
        for _ in 0..BATCH {
            if !is_writable(back)? {
                return Ok(Progress::Blocked);
            }
            if !receive(front, &mut self.frames)? {
                return Ok(Progress::Drained);
            }
            self.pass(back)?;
            self.clients.take_left();
        }
        Ok(Progress::More)
    }

    fn to_clients(&mut self, _: &zmq::Socket, _: &zmq::Socket) -> zmq::Result<Progress> {
        Ok(Progress::Drained)
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
