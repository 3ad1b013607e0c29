//! A gate for SUB clients of a PUB or XPUB service, with rights on topics.

use std::collections::{HashMap, HashSet};
use std::vec::Drain;

use zmq_auth::{AcceptedClient, Authenticator, zmq};

use super::clients::{Checked, Clients};
use super::counts::{Counts, Dropped};
use super::journal::{GateLine, Journal};
use super::traffic::{BATCH, Progress, Traffic, send_frame};

/// The topics that each user may subscribe to, as prefixes.
#[derive(Clone, Default)]
pub(crate) struct TopicRights {
    /// Without rules, everybody may subscribe to everything.
    has_rules: bool,
    everybody: Vec<String>,
    users: HashMap<String, Vec<String>>,
}

impl TopicRights {
    /// From now on, only the rights that are added count.
    pub(crate) fn limit(&mut self) {
        self.has_rules = true;
    }

    /// Adds rights for this user, or for everybody.
    pub(crate) fn allow(&mut self, user: Option<&str>, topics: &[String]) {
        match user {
            None => self.everybody.extend_from_slice(topics),
            Some(user) => self.users.entry(user.to_owned()).or_default().extend_from_slice(topics),
        }
    }

    /// Whether an allowed prefix covers everything that begins with this topic.
    fn covers(&self, user: Option<&str>, topic: &[u8]) -> bool {
        let own = user.and_then(|user| self.users.get(user)).into_iter().flatten();
        !self.has_rules || self.everybody.iter().chain(own).any(|allowed| topic.starts_with(allowed.as_bytes()))
    }
}

pub(super) struct Publish {
    clients: Clients<Subscriber>,
    rights: TopicRights,
    /// The number of subscribers to each topic.
    topics: HashMap<Vec<u8>, usize>,
    /// Set by a message that isn't a subscription, until everything queued has been received: meanwhile libzmq would
    /// grant subscriptions to the wrong client.
    misaligned: bool,
}

/// The most that one client can make libzmq store: subscriptions, and bytes of their topics. Refused ones count until
/// the client leaves, since libzmq keeps these, too.
const SUBSCRIPTIONS: usize = 10_000;
const TOPIC_BYTES: usize = 1024 * 1024;

#[derive(Default)]
struct Subscriber {
    topics: HashSet<Vec<u8>>,
    /// The bytes of its topics and of refused ones.
    bytes: usize,
    refused: usize,
    /// Whether a refused topic of this client has been reported already.
    was_told: bool,
}

impl Subscriber {
    fn has_room(&self, topic: &[u8]) -> bool {
        let fits =
            self.topics.len() + self.refused < SUBSCRIPTIONS && self.bytes.saturating_add(topic.len()) <= TOPIC_BYTES;
        fits || self.topics.contains(topic)
    }

    /// Adds a topic, and returns whether it is new.
    fn add(&mut self, topic: &[u8]) -> bool {
        let is_new = self.topics.insert(topic.to_vec());
        self.bytes += if is_new { topic.len() } else { 0 };
        is_new
    }

    /// Removes a topic, and returns whether it was there.
    fn remove(&mut self, topic: &[u8]) -> bool {
        let was_there = self.topics.remove(topic);
        self.bytes -= if was_there { topic.len() } else { 0 };
        was_there
    }
}

impl Publish {
    pub(super) fn new(policy: &Authenticator, rights: TopicRights, counts: Counts, journal: Journal) -> Self {
        let clients = Clients::new(policy, counts, journal).keeping_left();
        Publish { clients, rights, topics: HashMap::new(), misaligned: false }
    }

    fn subscribe(&mut self, frame: zmq::Message, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<()> {
        let Some(number) = self.clients.sender(&frame, |_| Subscriber::default()) else { return Ok(()) };
        if self.misaligned {
            self.reconnect(number);
            return Ok(());
        }
        let topic = &frame[1..];
        if self.clients.kept_mut(number).is_some_and(|subscriber| !subscriber.has_room(topic)) {
            self.clients.counts.dropped(Dropped::Topic);
            let reason = "it has as many subscriptions as a client may have: 10,000, and 1 MiB of topics";
            self.clients.ban(number, reason);
            return Ok(());
        }
        if !self.rights.covers(self.clients.accepted(number).and_then(AcceptedClient::user_id), topic) {
            self.refuse(number, topic);
            return Ok(());
        }
        // libzmq grants the topic to the connection that it believes to be the sender's. If this client is gone, that
        // may be another client's.
        if !self.clients.is_connected(number) {
            return Ok(());
        }
        front.set_subscribe(topic)?;
        if self.clients.kept_mut(number).is_some_and(|subscriber| subscriber.add(topic)) {
            let subscribers = self.topics.entry(topic.to_vec()).or_default();
            *subscribers += 1;
            if *subscribers == 1 {
                send_frame(back, frame, false)?;
                self.clients.counts.to_service();
            }
        }
        Ok(())
    }

    fn refuse(&mut self, number: u64, topic: &[u8]) {
        self.clients.counts.dropped(Dropped::Topic);
        let Some(subscriber) = self.clients.kept_mut(number) else { return };
        subscriber.refused += 1;
        subscriber.bytes += topic.len();
        if std::mem::replace(&mut subscriber.was_told, true) {
            return;
        }
        let Some(client) = self.clients.accepted(number) else { return };
        let shown = topic.get(..64).unwrap_or(topic);
        let reason = format!("it has no right to the topic {:?}", String::from_utf8_lossy(shown));
        self.clients.journal.write(GateLine {
            event: "TopicRefused",
            user_id: client.user_id().map(str::to_owned),
            address: Some(client.address().to_owned()),
            reason: Some(reason),
            ..GateLine::default()
        });
    }

    /// libzmq also generates unsubscriptions for clients that have left. They have no sender and are ignored here; a
    /// check removes the topics of such clients.
    fn unsubscribe(&mut self, frame: &zmq::Message, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<()> {
        let Some(number) = self.clients.find(frame) else { return Ok(()) };
        if self.misaligned {
            self.reconnect(number);
            return Ok(());
        }
        let topic = &frame[1..];
        if self.clients.kept_mut(number).is_some_and(|subscriber| subscriber.remove(topic)) {
            front.set_unsubscribe(topic)?;
            self.give_up(topic, back)?;
        }
        Ok(())
    }

    /// Disconnects a client, which will reconnect and send its subscriptions again.
    fn reconnect(&mut self, number: u64) {
        let reason = "its subscription came behind a message that is none; it may connect again";
        self.clients.disconnect(number, "ClientDisconnected", reason);
    }

    /// Removes one subscriber of a topic.
    fn give_up(&mut self, topic: &[u8], back: &zmq::Socket) -> zmq::Result<()> {
        let Some(subscribers) = self.topics.get_mut(topic) else { return Ok(()) };
        *subscribers -= 1;
        if *subscribers == 0 {
            self.topics.remove(topic);
            send_frame(back, [&b"\0"[..], topic].concat(), false)?;
        }
        Ok(())
    }

    fn give_up_left(&mut self, back: &zmq::Socket) -> zmq::Result<()> {
        for subscriber in self.clients.take_left() {
            subscriber.topics.iter().try_for_each(|topic| self.give_up(topic, back))?;
        }
        Ok(())
    }
}

impl Traffic for Publish {
    fn to_service(&mut self, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<Progress> {
        for _ in 0..BATCH {
            // Frame by frame: each frame is a subscription of its own, even within a multipart message.
            let frame = match front.recv_msg(zmq::DONTWAIT) {
                Ok(frame) => frame,
                Err(zmq::Error::EAGAIN) => {
                    self.misaligned = false;
                    self.clients.drained();
                    self.give_up_left(back)?;
                    return Ok(Progress::Drained);
                }
                Err(zmq::Error::EINTR) => continue,
                Err(error) => return Err(error),
            };
            match frame.first() {
                Some(1) => self.subscribe(frame, front, back)?,
                Some(0) => self.unsubscribe(&frame, front, back)?,
                _ => {
                    self.misaligned = true;
                    self.clients.counts.dropped(Dropped::NoSubscription);
                    if let Some(number) = self.clients.sender(&frame, |_| Subscriber::default()) {
                        let reason = "it sent a message that is no subscription";
                        self.clients.ban(number, reason);
                    }
                }
            }
            self.give_up_left(back)?;
        }
        Ok(Progress::More)
    }

    /// Subscriptions don't wait: libzmq would queue them without a bound. The socket to the service keeps each topic
    /// once, and subscribes to all of them when the service is back.
    fn waits_for_service(&self) -> bool {
        false
    }

    fn to_clients(&mut self, front: &zmq::Socket, frames: Drain<'_, zmq::Message>) -> zmq::Result<()> {
        for frame in frames {
            let more = frame.get_more();
            // A slow subscriber misses messages, as it would without a gate.
            send_frame(front, frame, more)?;
            if !more {
                self.clients.counts.to_clients();
            }
        }
        Ok(())
    }

    fn clients(&mut self) -> &mut dyn Checked {
        &mut self.clients
    }

    fn check_some(&mut self, back: &zmq::Socket) -> zmq::Result<bool> {
        let more = self.clients.check_some();
        self.give_up_left(back)?;
        Ok(more)
    }
}
