//! The clients of a gate: registered at their first message, and disconnected once the policy stops accepting them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use serde::Serialize;
use zmq_auth::{AcceptedClient, Authenticator, Connection, Error, Sender, zmq};

use super::counts::{Counts, Dropped};
use super::journal::{GateLine, Journal};

/// How many clients are checked between two rounds of messages.
const CHECKED_AT_ONCE: usize = 256;

/// How long a misbehaving client is kept out.
const BAN: Duration = Duration::from_secs(60);

/// How long a client that has left is remembered while the front is never empty, because a message of it may be queued.
const QUEUED: Duration = Duration::from_secs(60);

/// All clients that have sent something, until they have disconnected and all their messages have been received. `T` is
/// what a kind of gate keeps for each.
pub(super) struct Clients<T> {
    policy: Authenticator,
    /// By the marks of their connections, which are unique.
    numbers: HashMap<Box<str>, u64, RandomState>,
    by_connection: HashMap<Connection, u64, RandomState>,
    clients: HashMap<u64, Client<T>, RandomState>,
    next: u64,
    /// Clients that the current check hasn't reached yet.
    unchecked: Vec<u64>,
    /// Whether another check of all clients follows the current one.
    again: bool,
    /// Clients whose connection has ended, but whose messages may still be queued; since when.
    closed: VecDeque<(u64, Instant)>,
    /// The values kept for clients that have left, if anybody asks for them.
    left: Option<Vec<T>>,
    pub(super) counts: Counts,
    pub(super) journal: Journal,
}

struct Client<T> {
    mark: Box<str>,
    accepted: AcceptedClient,
    /// `None` if the client had left before its first message was received.
    connection: Option<Connection>,
    /// Whether it is in `closed`.
    is_closed: bool,
    /// `None` if it was disconnected: its queued messages aren't passed on.
    kept: Option<T>,
}

impl<T> Clients<T> {
    pub(super) fn new(policy: &Authenticator, counts: Counts, journal: Journal) -> Self {
        Clients {
            policy: policy.clone(),
            numbers: HashMap::default(),
            by_connection: HashMap::default(),
            clients: HashMap::default(),
            next: 0,
            unchecked: Vec::new(),
            again: false,
            closed: VecDeque::new(),
            left: None,
            counts,
            journal,
        }
    }

    /// Keeps the values of clients that have left for `take_left`.
    pub(super) fn keeping_left(self) -> Self {
        Clients { left: Some(Vec::new()), ..self }
    }

    /// The number of a message's sender, if the policy accepts it now; otherwise the sender is disconnected. Every
    /// frame of a message identifies its sender, except a ROUTER's routing id.
    pub(super) fn sender(&mut self, message: &zmq::Message, keep: impl FnOnce(&AcceptedClient) -> T) -> Option<u64> {
        let number = self.find(message).or_else(|| self.admit(message, keep));
        let client = number.and_then(|number| self.clients.get(&number));
        if let Some(client) = client
            && client.kept.is_some()
            && self.policy.still_accepts(&client.accepted)
        {
            return number;
        }
        if let Some(number) = number {
            self.revoke(number);
        }
        self.counts.dropped(Dropped::Revoked);
        None
    }

    fn admit(&mut self, message: &zmq::Message, keep: impl FnOnce(&AcceptedClient) -> T) -> Option<u64> {
        let connection = match Connection::of(message) {
            Ok(connection) => Some(connection),
            Err(Error::NoConnection(_)) => None,
            // Such a client couldn't be disconnected later.
            Err(_) => return None,
        };
        let accepted = self.policy.accepted_client(message);
        let (Some(accepted), Some(mark)) = (accepted, Sender::of(message).mark()) else {
            let _ = connection.map(|connection| connection.disconnect());
            return None;
        };
        let (number, mark) = (self.next, Box::<str>::from(mark));
        self.next += 1;
        let connection = connection.filter(|connection| self.take_over(*connection, number, &accepted));
        self.numbers.insert(mark.clone(), number);
        let kept = Some(keep(&accepted));
        self.clients.insert(number, Client { mark, accepted, connection, is_closed: false, kept });
        self.count();
        Some(number)
    }

    /// Whether the connection is this client's. A message tells only the address and the descriptor of its connection,
    /// which may have been reused: if they match two clients, the one with the earlier handshake has left.
    fn take_over(&mut self, connection: Connection, number: u64, accepted: &AcceptedClient) -> bool {
        let other = self.by_connection.get(&connection).and_then(|other| self.clients.get_mut(other));
        if let Some(other) = other {
            if other.accepted.handshake_number() > accepted.handshake_number() {
                return false;
            }
            other.connection = None;
        }
        self.by_connection.insert(connection, number);
        true
    }

    /// The value kept for a client that is connected and accepted. Call it just before each message that is sent to
    /// that client alone: clients choose their routing ids, and another may take this one's as soon as it has left.
    pub(super) fn receiver(&mut self, number: u64) -> Result<&T, Dropped> {
        let client = self.clients.get(&number).filter(|client| client.kept.is_some()).ok_or(Dropped::UnknownClient)?;
        if !self.policy.still_accepts(&client.accepted) {
            self.revoke(number);
            return Err(Dropped::Revoked);
        }
        if !is_open(client.connection.as_ref()) {
            return Err(Dropped::Gone);
        }
        self.kept(number).ok_or(Dropped::UnknownClient)
    }

    pub(super) fn is_connected(&self, number: u64) -> bool {
        self.clients.get(&number).is_some_and(|client| is_open(client.connection.as_ref()))
    }

    pub(super) fn kept(&self, number: u64) -> Option<&T> {
        self.clients.get(&number)?.kept.as_ref()
    }

    pub(super) fn kept_mut(&mut self, number: u64) -> Option<&mut T> {
        self.clients.get_mut(&number)?.kept.as_mut()
    }

    pub(super) fn accepted(&self, number: u64) -> Option<&AcceptedClient> {
        self.clients.get(&number).map(|client| &client.accepted)
    }

    /// The number of a message's sender, whether or not it is accepted.
    pub(super) fn find(&self, message: &zmq::Message) -> Option<u64> {
        self.numbers.get(Sender::of(message).mark()?).copied()
    }

    /// The values kept for clients that have left since the last call.
    pub(super) fn take_left(&mut self) -> Vec<T> {
        self.left.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Forgets the clients that have left. Called when nothing is left to receive: a message received later would
    /// register its sender as a new client.
    pub(super) fn drained(&mut self) {
        self.forget(self.closed.len());
    }

    /// Forgets this many of the clients that have left, beginning with the first.
    fn forget(&mut self, count: usize) {
        for (number, _) in self.closed.drain(..count) {
            let Some(client) = self.clients.remove(&number) else { continue };
            self.numbers.remove(&client.mark);
            if let Some(connection) = client.connection
                && self.by_connection.get(&connection) == Some(&number)
            {
                self.by_connection.remove(&connection);
            }
            if let Some(left) = &mut self.left {
                left.extend(client.kept);
            }
        }
    }

    fn begin_check_at(&mut self, now: Instant) {
        let is_old = |(_, since): &&(u64, Instant)| now.saturating_duration_since(*since) > QUEUED;
        self.forget(self.closed.iter().take_while(is_old).count());
        if self.unchecked.is_empty() {
            let open = self.clients.iter().filter(|(_, client)| !client.is_closed);
            self.unchecked.extend(open.map(|(number, _)| number));
        } else {
            self.again = true;
        }
    }

    fn revoke(&mut self, number: u64) {
        self.disconnect(number, "ClientDisconnected", "the policy doesn't accept it any more");
    }

    /// Ends a client's connection, once, and no other's.
    pub(super) fn disconnect(&mut self, number: u64, event: &'static str, reason: &str) {
        let Some(client) = self.clients.get_mut(&number).filter(|client| client.kept.is_some()) else { return };
        // If that fails, the next check tries again; until then its messages are refused.
        if client.connection.is_some_and(|connection| connection.disconnect().is_err()) {
            return;
        }
        let kept = client.kept.take();
        if let Some(left) = &mut self.left {
            left.extend(kept);
        }
        // It had left already: there was nothing to end, so nothing to report.
        if client.connection.is_none() {
            return;
        }
        let user_id = client.accepted.user_id().map(str::to_owned);
        let (address, reason) = (Some(client.accepted.address().to_owned()), Some(reason.to_owned()));
        self.journal.write(GateLine { event, user_id, address, reason, ..GateLine::default() });
        self.counts.disconnected();
    }

    /// Disconnects a misbehaving client, and keeps it out for a while, since it would reconnect at once.
    pub(super) fn ban(&mut self, number: u64, reason: &str) {
        if let Some(client) = self.clients.get(&number) {
            self.policy.pause_client(&client.accepted, BAN);
        }
        self.disconnect(number, "ClientDisconnected", &format!("{reason}; it may reconnect in a minute"));
    }

    fn count(&self) {
        self.counts.clients(self.clients.len() - self.closed.len());
    }

    /// Begins to check all clients against the policy. If a check is running, another one follows it; restarting it
    /// would mean that a policy which changes all the time keeps it from ever finishing.
    pub(super) fn begin_check(&mut self) {
        self.begin_check_at(Instant::now());
    }

    /// Checks some clients, and returns whether there are more.
    pub(super) fn check_some(&mut self) -> bool {
        for _ in 0..CHECKED_AT_ONCE {
            let Some(number) = self.unchecked.pop() else { break };
            let Some(client) = self.clients.get_mut(&number) else { continue };
            if client.kept.is_some() && !self.policy.still_accepts(&client.accepted) {
                self.revoke(number);
            } else if !client.is_closed && !is_open(client.connection.as_ref()) {
                client.is_closed = true;
                self.closed.push_back((number, Instant::now()));
                self.count();
            }
        }
        if self.unchecked.is_empty() && std::mem::take(&mut self.again) {
            self.begin_check();
        }
        !self.unchecked.is_empty()
    }
}

/// A connection whose state can't be read counts as closed.
fn is_open(connection: Option<&Connection>) -> bool {
    connection.is_some_and(|connection| connection.is_open().unwrap_or(false))
}

/// The content of a sender frame, which tells the service who sent a message.
#[derive(Serialize)]
struct SenderFrame<'a> {
    /// The user id that the policy gave the client, or null.
    user_id: Option<&'a str>,
    /// Its address: an IP, or `localhost:UID:GID:PID`.
    address: &'a str,
    /// The requested metadata, as far as the policy has it.
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// The sender frame of a client, with these keys of its metadata.
pub(super) fn sender_frame(client: &AcceptedClient, keys: &[String]) -> Vec<u8> {
    let value = |key: &String| Some((key.clone(), client.metadata(key)?.into()));
    let metadata = keys.iter().filter_map(value).collect();
    let frame = SenderFrame { user_id: client.user_id(), address: client.address(), metadata };
    // Can't fail: there are only strings in it.
    serde_json::to_vec(&frame).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use zmq_auth::SocketExt;

    use super::super::journal::Writer;
    use super::*;

    /// The front is never drained here.
    #[test]
    fn a_client_that_has_left_is_forgotten_after_a_minute_of_messages() {
        let (context, policy) = (zmq::Context::new(), Authenticator::new());
        policy.mark_clients().unwrap();
        let _running = policy.start(&context).unwrap();
        let (mut server, client) = (context.socket(zmq::PULL).unwrap(), context.socket(zmq::PUSH).unwrap());
        server.null_server("lab").unwrap();
        server.bind("tcp://127.0.0.1:*").unwrap();
        client.connect(&server.endpoint().unwrap()).unwrap();
        client.send("hello", 0).unwrap();
        let message = server.recv_msg(0).unwrap();
        let journal = Writer::new(policy.events(1)).journal("lab");
        let mut clients = Clients::new(&policy, Counts::new("lab"), journal).keeping_left();
        let number = clients.sender(&message, |_| "kept").unwrap();
        drop(client);
        let end = Instant::now() + Duration::from_secs(60);
        while clients.closed.is_empty() {
            assert!(Instant::now() < end, "its end isn't noticed");
            clients.begin_check();
            while clients.check_some() {}
            thread::yield_now();
        }
        clients.begin_check_at(Instant::now());
        assert_eq!((clients.find(&message), clients.take_left().len()), (Some(number), 0));
        clients.begin_check_at(Instant::now() + QUEUED + Duration::from_secs(1));
        assert_eq!((clients.find(&message), clients.take_left()), (None, vec!["kept"]));
        assert!(clients.clients.is_empty() && clients.by_connection.is_empty());
        // A message of it that was queued registers it as a new client.
        assert_eq!(clients.sender(&message, |_| "again"), Some(number + 1));
    }
}
