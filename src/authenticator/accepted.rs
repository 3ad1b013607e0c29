//! Clients that a handshake has accepted, apart from their messages.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::Authenticator;
use super::revocation::{handshake_number, metadata_names};
use crate::reason::{Evidence, Recheck};
use crate::sender::Sender;
use crate::zap::{Client, Identity};

/// A client as its handshake accepted it: to ask again later, when no message of it is at hand, whether it would still be
/// accepted. From [`Authenticator::accepted_client`].
///
/// It is of one connection: a client that connects again is another one.
///
/// ```
/// # use zmq_auth::{Authenticator, SocketExt, zmq};
/// # let context = zmq::Context::new();
/// let auth = Authenticator::new();
/// auth.mark_clients()?;
/// auth.configure_plain("shop", [("alice", "correct horse")])?;
/// # let _running = auth.start(&context)?;
/// # let (mut server, mut client) = (context.socket(zmq::PULL)?, context.socket(zmq::PUSH)?);
/// # server.plain_server("shop")?;
/// # server.bind("tcp://127.0.0.1:*")?;
/// # client.plain_client("alice", "correct horse")?;
/// # client.connect(&server.endpoint()?)?;
/// # client.send("3 apples", 0)?;
/// let message = server.recv_msg(0)?;
/// let client = auth.accepted_client(&message).expect("clients are marked");
/// assert_eq!((client.user_id(), client.address()), (Some("alice"), "127.0.0.1"));
/// assert_eq!(client.handshake_number(), 0);
/// drop(message);
///
/// assert!(auth.still_accepts(&client));
/// auth.configure_plain("shop", [("bob", "tr0ub4dor")])?; // Alice leaves
/// assert!(!auth.still_accepts(&client));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AcceptedClient {
    mechanism: Vec<u8>,
    domain: Vec<u8>,
    identity: Identity<'static>,
    evidence: Evidence,
    address: String,
    user_id: Option<String>,
    /// What the ZAP reply said, and not the client.
    metadata: Vec<(String, String)>,
    handshake: u64,
}

impl AcceptedClient {
    /// As [`Sender::user_id`].
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// As [`Sender::address`]; empty where libzmq knows none.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The number of its handshake: of two clients, the one that was accepted later has the larger. Where both seem to have
    /// one [`Connection`](crate::Connection), the earlier has left, and the later has got its descriptor.
    pub fn handshake_number(&self) -> u64 {
        self.handshake
    }

    /// Metadata of the ZAP reply by its name. Unlike [`Sender::property`], nothing that the client has sent.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Authenticator {
    /// The client that a message is from; `None` for a message without a mark of this authenticator, as for
    /// [`is_still_allowed`](Self::is_still_allowed). It says nothing about whether the client would still be accepted.
    pub fn accepted_client(&self, message: &zmq::Message) -> Option<AcceptedClient> {
        let sender = Sender::of(message);
        let (tag, address) = (sender.mark()?, sender.address().unwrap_or_default());
        let policy = self.read();
        let (client, evidence) = policy.tags.as_ref()?.read(tag, address.as_bytes())?;
        let client = client.into_owned();
        let value = |name: String| sender.property(&name).map(|value| value.to_owned()).map(|value| (name, value));
        Some(AcceptedClient {
            mechanism: client.mechanism.into(),
            domain: client.domain.into(),
            identity: client.identity,
            evidence,
            address: address.to_owned(),
            user_id: sender.user_id().map(str::to_owned),
            metadata: metadata_names(tag).filter_map(value).collect(),
            handshake: handshake_number(tag)?,
        })
    }

    /// Whether the client would still be accepted by the policy as it is now; otherwise as
    /// [`is_still_allowed`](Self::is_still_allowed).
    pub fn still_accepts(&self, client: &AcceptedClient) -> bool {
        let asked = Client {
            mechanism: (&client.mechanism[..]).into(),
            domain: (&client.domain[..]).into(),
            address: client.address.as_bytes().into(),
            identity: client.identity.clone(),
        };
        self.read().recheck(&asked, client.evidence, Recheck::Connected).is_ok()
    }

    /// Refuses this client's handshakes with 300 for a time, whatever the policy says: for one that is accepted, and misuses
    /// it. It is known by its key, its user or its principal, in its domain; a NULL client, by its address. A later call
    /// replaces the time. Connections that it has stay: [`Connection::disconnect`](crate::Connection::disconnect) ends one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use zmq_auth::{Authenticator, SocketExt, zmq};
    /// # let context = zmq::Context::new();
    /// # let auth = Authenticator::new();
    /// # auth.mark_clients()?;
    /// # let _running = auth.start(&context)?;
    /// # let (mut server, client) = (context.socket(zmq::PULL)?, context.socket(zmq::PUSH)?);
    /// # server.null_server("lab")?;
    /// # server.bind("tcp://127.0.0.1:*")?;
    /// # client.connect(&server.endpoint()?)?;
    /// # client.send("nonsense", 0)?;
    /// let message = server.recv_msg(0)?;
    /// if let Some(client) = auth.accepted_client(&message) {
    ///     auth.pause_client(&client, Duration::from_secs(60));
    /// }
    /// # let again: [&[u8]; 6] = [b"1.0", b"1", b"lab", b"127.0.0.1", b"", b"NULL"];
    /// # assert_eq!(auth.handle_zap_message(&again).unwrap()[2], b"300");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pause_client(&self, client: &AcceptedClient, pause: Duration) {
        let now = Instant::now();
        let who = (&client.mechanism[..], &client.domain[..], client.address.as_bytes(), &client.identity);
        self.write().paused.add(who, now, now.checked_add(pause));
    }
}

/// Clients whose handshakes are refused for a time.
#[derive(Default)]
pub(super) struct PausedClients(HashMap<Box<[u8]>, Option<Instant>>);

impl PausedClients {
    fn add(&mut self, who: Who<'_>, now: Instant, until: Option<Instant>) {
        self.0.retain(|_, until| until.is_none_or(|until| now < until));
        self.0.insert(name(who), until);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn has(&self, client: &Client<'_>) -> bool {
        let until = self.0.get(&name((&client.mechanism, &client.domain, &client.address, &client.identity)));
        until.is_some_and(|until| until.is_none_or(|until| Instant::now() < until))
    }
}

/// Mechanism, domain, address and identity.
type Who<'a> = (&'a [u8], &'a [u8], &'a [u8], &'a Identity<'a>);

/// No two clients have the same. (A mechanism and a domain are at most 255 bytes.)
fn name((mechanism, domain, address, identity): Who<'_>) -> Box<[u8]> {
    let who = match identity {
        Identity::Nobody => address,
        Identity::Key(key) => key.as_bytes(),
        Identity::User(name) | Identity::Principal(name) => name,
    };
    [&[mechanism.len() as u8], mechanism, &[domain.len() as u8], domain, who].concat().into()
}

/// With nothing of the mark.
impl fmt::Debug for AcceptedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptedClient")
            .field("user_id", &self.user_id)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
