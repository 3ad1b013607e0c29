//! A gate for REQ and DEALER clients of a REP or DEALER service.

use std::mem;
use std::vec::Drain;

use zmq_auth::{AcceptedClient, Authenticator, zmq};

use super::clients::{Clients, sender_frame};
use super::counts::{Counts, Dropped};
use super::journal::Journal;
use super::traffic::{Progress, Traffic, forward, send_frame, send_rest, unmark_commands};
use crate::output::Failure;

/// The length of the envelope that the service sees: a random part of this gate, and the number of the client's
/// connection. It doesn't contain the routing id, which clients choose, so a reply can only reach the connection that
/// asked.
const ENVELOPE: usize = 16;
const OWN: usize = 8;

pub(super) struct Reply {
    clients: Clients<Requester>,
    own: [u8; OWN],
    /// The metadata keys in sender frames, if the service gets such frames.
    sender_frames: Option<Vec<String>>,
    /// A request that the service's socket hasn't taken yet.
    request: Vec<zmq::Message>,
    /// The number of requests without a reply. An estimate: a DEALER service may answer once, twice or never.
    waiting: usize,
}

struct Requester {
    routing_id: Vec<u8>,
    sender_frame: Vec<u8>,
}

impl Reply {
    pub(super) fn new(
        policy: &Authenticator,
        sender_frames: Option<Vec<String>>,
        counts: Counts,
        journal: Journal,
    ) -> Result<Self, Failure> {
        let mut own = [0; OWN];
        getrandom::fill(&mut own).map_err(|error| Failure::new(format!("the system has no randomness: {error}")))?;
        let clients = Clients::new(policy, counts, journal);
        Ok(Reply { clients, own, sender_frames, request: Vec::new(), waiting: 0 })
    }

    /// Passes a request on, or drops it. Returns `false` if the service's socket takes nothing now.
    fn request(&mut self, frames: &mut Vec<zmq::Message>, back: &zmq::Socket) -> zmq::Result<bool> {
        let [routing_id, first, ..] = &frames[..] else { return Ok(true) };
        let keys = self.sender_frames.as_deref();
        let keep = |client: &AcceptedClient| Requester {
            routing_id: routing_id.to_vec(),
            sender_frame: keys.map(|keys| sender_frame(client, keys)).unwrap_or_default(),
        };
        let Some(number) = self.clients.sender(first, keep) else { return Ok(true) };
        // Always right after the first empty frame, so a client can't forge it, whatever it sends after that.
        let place = match keys {
            None => None,
            Some(_) => match frames[1..].iter().position(|frame| frame.is_empty()) {
                None => {
                    self.clients.counts.dropped(Dropped::NoEmptyFrame);
                    return Ok(true);
                }
                Some(place) => Some(place + 1),
            },
        };
        let mut envelope = [0; ENVELOPE];
        envelope[..OWN].copy_from_slice(&self.own);
        envelope[OWN..].copy_from_slice(&number.to_be_bytes());
        if !send_frame(back, &envelope[..], true)? {
            return Ok(false);
        }
        unmark_commands(&mut frames[1..]);
        if let (Some(place), Some(client)) = (place, self.clients.kept(number)) {
            frames.insert(place + 1, zmq::Message::from(&client.sender_frame[..]));
        }
        if send_rest(back, frames.drain(..).skip(1))? {
            self.waiting += 1;
            self.clients.counts.to_service();
        } else {
            self.clients.counts.dropped(Dropped::ServiceGone);
        }
        Ok(true)
    }

    /// The number in an envelope; `None` if it isn't one of this gate.
    fn number(&self, envelope: &[u8]) -> Option<u64> {
        let (own, number) = envelope.split_first_chunk::<OWN>()?;
        (*own == self.own).then_some(())?;
        Some(u64::from_be_bytes(number.try_into().ok()?))
    }

    /// Sends the client's routing id if the reply with this envelope may go to a client. On `Ok`, the rest must follow.
    fn begin_reply(&mut self, envelope: &zmq::Message, front: &zmq::Socket) -> zmq::Result<Result<(), Dropped>> {
        let number = self.number(envelope).filter(|_| envelope.get_more());
        let receiver = number.ok_or(Dropped::UnknownClient).and_then(|number| self.clients.receiver(number));
        let client = match receiver {
            Err(why) => return Ok(Err(why)),
            Ok(client) => client,
        };
        match send_frame(front, &client.routing_id[..], true) {
            Ok(true) => Ok(Ok(())),
            Ok(false) => Ok(Err(Dropped::SlowClient)),
            // No client has this routing id any more.
            Err(zmq::Error::EHOSTUNREACH) => Ok(Err(Dropped::Gone)),
            Err(error) => Err(error),
        }
    }
}

impl Traffic for Reply {
    fn to_service(&mut self, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<Progress> {
        let mut request = mem::take(&mut self.request);
        let progress = forward(front, &mut request, |frames| self.request(frames, back))?;
        self.request = request;
        if progress == Progress::Drained {
            self.clients.drained();
        }
        Ok(progress)
    }

    fn to_clients(&mut self, front: &zmq::Socket, mut frames: Drain<'_, zmq::Message>) -> zmq::Result<()> {
        while let Some(envelope) = frames.next() {
            self.waiting = self.waiting.saturating_sub(1);
            let begun = self.begin_reply(&envelope, front)?;
            match begun {
                Ok(()) => self.clients.counts.to_clients(),
                Err(why) => self.clients.counts.dropped(why),
            }
            let mut more = envelope.get_more();
            while more && let Some(frame) = frames.next() {
                more = frame.get_more();
                if begun.is_ok() {
                    send_frame(front, frame, more)?;
                }
            }
        }
        Ok(())
    }

    fn begin_check(&mut self) {
        self.clients.begin_check();
    }

    fn check_some(&mut self, _back: &zmq::Socket) -> zmq::Result<bool> {
        Ok(self.clients.check_some())
    }

    fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    fn service_lost(&mut self) {
        self.waiting = 0;
    }
}
