//! The clients of a gate: known from their first message on, and disconnected when the policy doesn't accept them any more.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use serde::Serialize;
use zmq_auth::{AcceptedClient, Authenticator, Connection, Error, Sender, zmq};

use super::counts::{Counts, Dropped};
use super::journal::{GateLine, Journal};

/// How many clients are checked before messages are looked at again.
const CHECKED_AT_ONCE: usize = 256;

/// How long a client stays out that has done harm.
const BAN: Duration = Duration::from_secs(60);

/// All clients that have sent something, until they have left and nothing of them waits to be received; `T` is what a kind
/// of gate keeps for each.
pub(super) struct Clients<T> {
    policy: Authenticator,
    /// By the marks of their connections, which no two share.
    numbers: HashMap<Box<str>, u64, RandomState>,
    by_connection: HashMap<Connection, u64, RandomState>,
    clients: HashMap<u64, Client<T>, RandomState>,
    next: u64,
    /// Those that are still to be checked.
    unchecked: Vec<u64>,
    /// Whether all are to be checked once more after these.
    again: bool,
    /// Those whose connection has ended, of which messages may wait still.
    closed: Vec<u64>,
    /// What was kept for clients that have left.
    left: Vec<T>,
    pub(super) counts: Counts,
    pub(super) journal: Journal,
}

struct Client<T> {
    mark: Box<str>,
    accepted: AcceptedClient,
    /// None where the client had left before its first message was looked at.
    connection: Option<Connection>,
    /// Whether it is one of `closed`.
    is_closed: bool,
    /// None where it was disconnected: what waits of it is passed on no more.
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

    /// The number of the client that a message is from, if the policy accepts it now. A client that isn't accepted any more
    /// is disconnected. Every frame of a message says whom it is from, but for a ROUTER's routing id.
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
            // It could not be disconnected later.
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

    /// Whether the connection is this client's. Its address and its descriptor are all that a message says of it: of two
    /// clients that they fit, the one with the earlier handshake had left before they were looked at.
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

    /// What is kept for a client that is connected and accepted: for what is sent to it and to nobody else.
    ///
    /// A client chooses its routing id, and another may take that one as soon as it has left: so its connection is looked at
    /// just before something is sent.
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

    /// The number of a client by a message, whether or not it is accepted.
    pub(super) fn find(&self, message: &zmq::Message) -> Option<u64> {
        self.numbers.get(Sender::of(message).mark()?).copied()
    }

    /// What was kept for clients that have left since the last call.
    pub(super) fn take_left(&mut self) -> Vec<T> {
        std::mem::take(&mut self.left)
    }

    /// Has all clients checked against the policy; those that a check under way has still to look at, by this one. It is
    /// not begun anew: a policy that changes all the time would keep it from coming to its end.
    pub(super) fn begin_check(&mut self) {
        if self.unchecked.is_empty() {
            self.unchecked.extend(self.clients.keys());
        } else {
            self.again = true;
        }
    }

    /// Checks some; tells whether there are more.
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

    /// Forgets those that have left, when there is nothing more to receive: nothing of them waits then. Known before that,
    /// they would be taken for new clients again.
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

    /// Ends a client's connection, and no other; once.
    pub(super) fn disconnect(&mut self, number: u64, event: &'static str, reason: &str) {
        let Some(client) = self.clients.get_mut(&number).filter(|client| client.kept.is_some()) else { return };
        // Where it can't be disconnected, the next check tries again, and its messages are refused meanwhile.
        if client.connection.is_some_and(|connection| connection.disconnect().is_err()) {
            return;
        }
        self.left.extend(client.kept.take());
        // One that had left before has been told of by nobody, and there was nothing to end.
        if client.connection.is_none() {
            return;
        }
        let user_id = client.accepted.user_id().map(str::to_owned);
        let (address, reason) = (Some(client.accepted.address().to_owned()), Some(reason.to_owned()));
        self.journal.write(GateLine { event, user_id, address, reason, ..GateLine::default() });
        self.counts.disconnected();
    }

    /// Ends the connection of a client that misuses it, and keeps the client out for a while: it would come again at once.
    pub(super) fn ban(&mut self, number: u64, reason: &str) {
        if let Some(client) = self.clients.get(&number) {
            self.policy.pause_client(&client.accepted, BAN);
        }
        self.disconnect(number, "ClientDisconnected", &format!("{reason}; it may come again in a minute"));
    }

    fn count(&self) {
        self.counts.clients(self.clients.len() - self.closed.len());
    }
}

/// A connection that can't be looked at isn't sent to.
fn is_open(connection: Option<&Connection>) -> bool {
    connection.is_some_and(|connection| connection.is_open().unwrap_or(false))
}

/// The frame that tells the service who sent a message.
#[derive(Serialize)]
struct SenderFrame<'a> {
    /// The user id that the policy gave the client, or null.
    user_id: Option<&'a str>,
    /// Its address: an IP, or `localhost:UID:GID:PID`.
    address: &'a str,
    /// The metadata that was asked for, as far as the policy has it.
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// The sender frame of a client, with these keys of its metadata.
pub(super) fn sender_frame(client: &AcceptedClient, keys: &[String]) -> Vec<u8> {
    let value = |key: &String| Some((key.clone(), client.metadata(key)?.into()));
    let metadata = keys.iter().filter_map(value).collect();
    let frame = SenderFrame { user_id: client.user_id(), address: client.address(), metadata };
    // Strings alone: it can't fail.
    serde_json::to_vec(&frame).unwrap_or_default()
}
