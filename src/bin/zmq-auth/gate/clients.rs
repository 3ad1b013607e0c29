//! The clients of a gate: registered at their first message, and disconnected once the policy stops accepting them.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use serde::Serialize;
use zmq_auth::{AcceptedClient, Authenticator, Connection, Error, Sender, zmq};

use super::counts::{Counts, Dropped};
use super::journal::{GateLine, Journal};

/// How many clients are checked between two rounds of messages.
const CHECKED_AT_ONCE: usize = 256;

/// How long a misbehaving client is kept out.
const BAN: Duration = Duration::from_secs(60);

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
    /// Clients whose connection has ended, but whose messages may still be queued.
    closed: Vec<u64>,
    /// The values kept for clients that have left.
    left: Vec<T>,
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
            closed: Vec::new(),
            left: Vec::new(),
            counts,
            journal,
        }
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
        std::mem::take(&mut self.left)
    }

    /// Begins to check all clients against the policy. If a check is running, another one follows it; restarting it
    /// would mean that a policy which changes all the time keeps it from ever finishing.
    pub(super) fn begin_check(&mut self) {
        if self.unchecked.is_empty() {
            self.unchecked.extend(self.clients.keys());
        } else {
            self.again = true;
        }
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
                self.closed.push(number);
                self.count();
            }
        }
        if self.unchecked.is_empty() && std::mem::take(&mut self.again) {
            self.begin_check();
        }
        !self.unchecked.is_empty()
    }

    /// Forgets the clients that have left. Called when nothing is left to receive: a message received later would
    /// register its sender as a new client.
    pub(super) fn drained(&mut self) {
        for number in std::mem::take(&mut self.closed) {
            let Some(client) = self.clients.remove(&number) else { continue };
            self.numbers.remove(&client.mark);
            if let Some(connection) = client.connection
                && self.by_connection.get(&connection) == Some(&number)
            {
                self.by_connection.remove(&connection);
            }
            self.left.extend(client.kept);
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
        self.left.extend(client.kept.take());
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
