//! The clients of a gate: known from their first message on, and disconnected when the policy doesn't accept them any more.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde::Serialize;
use zmq_auth::{AcceptedClient, Authenticator, Connection, Error, Sender, zmq};

use super::counts::{Counts, Dropped};
use super::journal::{GateLine, Journal};

/// How many clients are checked before messages are looked at again.
const CHECKED_AT_ONCE: usize = 256;

/// All clients that have sent something and are still connected; `T` is what a kind of gate keeps for each.
pub(super) struct Clients<T> {
    policy: Authenticator,
    /// By the marks of their connections, which no two share.
    numbers: HashMap<Box<str>, u64, RandomState>,
    clients: HashMap<u64, Client<T>, RandomState>,
    next: u64,
    /// Those that are still to be checked.
    unchecked: Vec<u64>,
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
    kept: T,
}

impl<T> Clients<T> {
    pub(super) fn new(policy: &Authenticator, counts: Counts, journal: Journal) -> Self {
        Clients {
            policy: policy.clone(),
            numbers: HashMap::default(),
            clients: HashMap::default(),
            next: 0,
            unchecked: Vec::new(),
            left: Vec::new(),
            counts,
            journal,
        }
    }

    /// The number of the client that a message is from, if the policy accepts it now. A client that isn't accepted any more
    /// is disconnected. Every frame of a message says whom it is from, but for a ROUTER's routing id.
    pub(super) fn sender(&mut self, message: &zmq::Message, keep: impl FnOnce(&AcceptedClient) -> T) -> Option<u64> {
        let known = Sender::of(message).mark().and_then(|mark| self.numbers.get(mark).copied());
        let number = match known {
            Some(number) => number,
            None => self.admit(message, keep)?,
        };
        if self.policy.still_accepts(&self.clients.get(&number)?.accepted) {
            return Some(number);
        }
        self.revoke(number);
        self.counts.dropped(Dropped::Revoked);
        None
    }

    fn admit(&mut self, message: &zmq::Message, keep: impl FnOnce(&AcceptedClient) -> T) -> Option<u64> {
        let connection = match Connection::of(message) {
            Ok(connection) => Some(connection),
            Err(Error::NoConnection(_)) => None,
            // It could not be disconnected later.
            Err(_) => {
                self.counts.dropped(Dropped::Revoked);
                return None;
            }
        };
        let accepted = self.policy.accepted_client(message);
        let (Some(accepted), Some(mark)) = (accepted, Sender::of(message).mark()) else {
            let _ = connection.map(|connection| connection.disconnect());
            self.counts.dropped(Dropped::Revoked);
            return None;
        };
        let (number, mark) = (self.next, Box::<str>::from(mark));
        self.next += 1;
        self.numbers.insert(mark.clone(), number);
        let kept = keep(&accepted);
        self.clients.insert(number, Client { mark, accepted, connection, kept });
        self.counts.clients(self.clients.len());
        Some(number)
    }

    /// What is kept for a client that is connected and accepted: for what is sent to it and to nobody else.
    ///
    /// A client chooses its routing id, and another may take that one as soon as it has left: so its connection is looked at
    /// just before something is sent.
    pub(super) fn receiver(&mut self, number: u64) -> Result<&T, Dropped> {
        let client = self.clients.get(&number).ok_or(Dropped::UnknownClient)?;
        if !self.policy.still_accepts(&client.accepted) {
            self.revoke(number);
            return Err(Dropped::Revoked);
        }
        if !is_open(client.connection.as_ref()) {
            self.forget(number);
            return Err(Dropped::Gone);
        }
        self.clients.get(&number).map(|client| &client.kept).ok_or(Dropped::UnknownClient)
    }

    pub(super) fn is_connected(&self, number: u64) -> bool {
        self.clients.get(&number).is_some_and(|client| is_open(client.connection.as_ref()))
    }

    pub(super) fn kept(&self, number: u64) -> Option<&T> {
        self.clients.get(&number).map(|client| &client.kept)
    }

    pub(super) fn kept_mut(&mut self, number: u64) -> Option<&mut T> {
        self.clients.get_mut(&number).map(|client| &mut client.kept)
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

    /// Has all clients checked against the policy.
    pub(super) fn begin_check(&mut self) {
        self.unchecked.clear();
        self.unchecked.extend(self.clients.keys());
    }

    /// Checks some; tells whether there are more.
    pub(super) fn check_some(&mut self) -> bool {
        for _ in 0..CHECKED_AT_ONCE {
            let Some(number) = self.unchecked.pop() else { return false };
            let Some(client) = self.clients.get(&number) else { continue };
            if !self.policy.still_accepts(&client.accepted) {
                self.revoke(number);
            } else if !is_open(client.connection.as_ref()) {
                self.forget(number);
            }
        }
        !self.unchecked.is_empty()
    }

    fn revoke(&mut self, number: u64) {
        self.disconnect(number, "ClientDisconnected", "the policy doesn't accept it any more");
    }

    /// Ends a client's connection, and no other.
    pub(super) fn disconnect(&mut self, number: u64, event: &'static str, reason: &str) {
        let Some(client) = self.clients.get(&number) else { return };
        // It stays known where it can't be disconnected: the next check tries again, and its messages are refused.
        if client.connection.is_some_and(|connection| connection.disconnect().is_err()) {
            return;
        }
        let user_id = client.accepted.user_id().map(str::to_owned);
        let (address, reason) = (Some(client.accepted.address().to_owned()), Some(reason.to_owned()));
        self.journal.write(GateLine { event, user_id, address, reason, ..GateLine::default() });
        self.counts.disconnected();
        self.forget(number);
    }

    fn forget(&mut self, number: u64) {
        if let Some(client) = self.clients.remove(&number) {
            self.numbers.remove(&client.mark);
            self.left.push(client.kept);
            self.counts.clients(self.clients.len());
        }
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
