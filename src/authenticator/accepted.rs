//! Clients that a handshake has accepted, independent of their messages.

use std::fmt;

use super::Authenticator;
use super::revocation::metadata_names;
use crate::reason::{Evidence, Recheck};
use crate::sender::Sender;
use crate::zap::{Client, Identity};

/// A client that a handshake accepted. With it, a program can ask later, without a message at hand, whether the client
/// would still be accepted. From [`Authenticator::accepted_client`].
///
/// It stands for one connection: a client that reconnects is another `AcceptedClient`.
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
    /// From the ZAP reply; nothing that the client sent.
    metadata: Vec<(String, String)>,
}

impl AcceptedClient {
    /// As [`Sender::user_id`].
    pub fn user_id(&self) -> Option<&str> {
        self.user_id.as_deref()
    }

    /// As [`Sender::address`]; empty if libzmq has none.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A metadata value of the ZAP reply. Unlike [`Sender::property`], it never comes from the client.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Authenticator {
    /// The client that sent a message; `None` for a message without a mark of this authenticator, as for
    /// [`is_still_allowed`](Self::is_still_allowed). Doesn't check whether the client would still be accepted.
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
        })
    }

    /// Whether the policy as it is now would still accept the client; otherwise as
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
}

/// Shows nothing of the mark.
impl fmt::Debug for AcceptedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptedClient")
            .field("user_id", &self.user_id)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
