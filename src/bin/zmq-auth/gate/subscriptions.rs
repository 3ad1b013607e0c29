//! The subscribers of a gate: their subscriptions, checked before libzmq grants them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use zmq_auth::{AcceptedClient, Authenticator, Sender, zmq};

use super::clients::Clients;
use super::counts::{Counts, Dropped};
use super::journal::{GateLine, Journal};
use super::limits::{self, Usage};
use super::rights::TopicRights;
use super::traffic::send_frame;

pub(super) struct Subscriptions {
    clients: Clients<Subscriber>,
    rights: TopicRights,
    /// The number of subscribers to each topic.
    topics: HashMap<Vec<u8>, usize>,
    /// What all connections of each user use together.
    users: HashMap<Arc<str>, Usage>,
    /// Set by a message that isn't a subscription, until everything queued has been received: meanwhile libzmq would
    /// grant subscriptions to the wrong client.
    misaligned: bool,
}

struct Subscriber {
    user: Arc<str>,
    topics: HashSet<Vec<u8>>,
    /// Refused topics count until the client leaves, since libzmq keeps these, too.
    usage: Usage,
    /// Whether a refused topic of this client has been reported already.
    was_told: bool,
}

impl Subscriber {
    fn new(client: &AcceptedClient) -> Self {
        let user = limits::user(client).into();
        Subscriber { user, topics: HashSet::new(), usage: Usage::of_connection(), was_told: false }
    }
}

impl Subscriptions {
    pub(super) fn new(policy: &Authenticator, rights: TopicRights, counts: Counts, journal: Journal) -> Self {
        let clients = Clients::new(policy, counts, journal).keeping_left();
        Subscriptions { clients, rights, topics: HashMap::new(), users: HashMap::new(), misaligned: false }
    }

    /// Processes one frame of a client: each is a subscription of its own, even within a multipart message.
    pub(super) fn take(&mut self, frame: zmq::Message, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<()> {
        match frame.first() {
            Some(1) => self.subscribe(frame, front, back)?,
            Some(0) => self.unsubscribe(&frame, front, back)?,
            _ => {
                self.misaligned = true;
                self.clients.counts.dropped(Dropped::NoSubscription);
                if let Some(number) = self.clients.sender(&frame, Subscriber::new) {
                    self.clients.ban(number, "it sent a message that isn't a subscription");
                }
            }
        }
        self.give_up_left(back)
    }

    /// Call it when nothing is left to receive.
    pub(super) fn drained(&mut self, back: &zmq::Socket) -> zmq::Result<()> {
        self.misaligned = false;
        self.clients.drained();
        self.give_up_left(back)
    }

    fn subscribe(&mut self, frame: zmq::Message, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<()> {
        let Some(number) = self.clients.sender(&frame, Subscriber::new) else { return Ok(()) };
        if self.misaligned {
            self.reconnect(number);
            return Ok(());
        }
        let topic = &frame[1..];
        if let Some(reason) = self.exceeds(number, topic, true) {
            self.clients.counts.dropped(Dropped::Topic);
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
        let Some(subscriber) = self.clients.kept_mut(number) else { return Ok(()) };
        if subscriber.topics.insert(topic.to_vec()) {
            subscriber.usage.add(topic);
            self.users.entry(subscriber.user.clone()).or_insert_with(Usage::of_user).add(topic);
            let subscribers = self.topics.entry(topic.to_vec()).or_default();
            *subscribers += 1;
            if *subscribers == 1 {
                send_frame(back, frame, false)?;
                self.clients.counts.to_service();
            }
        }
        Ok(())
    }

    /// Counts a change of a client's subscriptions, and returns why it is too much, if it is.
    fn exceeds(&mut self, number: u64, topic: &[u8], adds: bool) -> Option<&'static str> {
        let subscriber = self.clients.kept_mut(number)?;
        let user = self.users.entry(subscriber.user.clone()).or_insert_with(Usage::of_user);
        let (now, adds) = (Instant::now(), adds && !subscriber.topics.contains(topic));
        let (own, all) = (subscriber.usage.change(topic, now), user.change(topic, now));
        if !own {
            Some("it changes its subscriptions too often: a client may make 20,000 changes, then 1,000 a second")
        } else if !all {
            Some(
                "its user changes subscriptions too often: all its clients may make 80,000 changes, then 4,000 a second",
            )
        } else if adds && !subscriber.usage.has_room(topic) {
            Some("it has as many subscriptions as a client may have: 10,000, and 1 MiB of topics")
        } else if adds && !user.has_room(topic) {
            Some("its user has as many subscriptions as all clients of a user may have: 40,000, and 4 MiB of topics")
        } else {
            None
        }
    }

    fn refuse(&mut self, number: u64, topic: &[u8]) {
        self.clients.counts.dropped(Dropped::Topic);
        let Some(subscriber) = self.clients.kept_mut(number) else { return };
        subscriber.usage.add(topic);
        self.users.entry(subscriber.user.clone()).or_insert_with(Usage::of_user).add(topic);
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
        if Sender::of(frame).mark().is_none() {
            return Ok(());
        }
        let Some(number) = self.clients.sender(frame, Subscriber::new) else { return Ok(()) };
        if self.misaligned {
            self.reconnect(number);
            return Ok(());
        }
        let topic = &frame[1..];
        if let Some(reason) = self.exceeds(number, topic, false) {
            self.clients.counts.dropped(Dropped::Topic);
            self.clients.ban(number, reason);
            return Ok(());
        }
        let Some(subscriber) = self.clients.kept_mut(number) else { return Ok(()) };
        if subscriber.topics.remove(topic) {
            subscriber.usage.remove(topic);
            if let Some(user) = self.users.get_mut(&subscriber.user) {
                user.remove(topic);
            }
            front.set_unsubscribe(topic)?;
            self.give_up(topic, back)?;
        }
        Ok(())
    }

    /// Disconnects a client, which will reconnect and send its subscriptions again.
    fn reconnect(&mut self, number: u64) {
        let reason = "its subscription came after another client's message that isn't one; it may reconnect at once";
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
            if let Some(user) = self.users.get_mut(&subscriber.user) {
                user.remove_all(&subscriber.usage);
            }
            subscriber.topics.iter().try_for_each(|topic| self.give_up(topic, back))?;
        }
        Ok(())
    }

    pub(super) fn begin_check(&mut self) {
        let now = Instant::now();
        self.users.retain(|_, usage| !usage.is_unused(now));
        self.clients.begin_check();
    }

    pub(super) fn check_some(&mut self, back: &zmq::Socket) -> zmq::Result<bool> {
        let more = self.clients.check_some();
        self.give_up_left(back)?;
        Ok(more)
    }

    /// Disconnects all clients that the policy doesn't accept any more. Their topics are given up later.
    pub(super) fn check_all(&mut self) {
        self.clients.begin_check();
        while self.clients.check_some() {}
    }
}
