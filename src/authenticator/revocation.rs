//! Revocation: checks whether the sender of a message would still be accepted, using a tag attached at the handshake.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use constant_time_eq::constant_time_eq;

use super::{Authenticator, Policy};
use crate::error::{Error, Result};
use crate::metadata::TAG_PROPERTY;
use crate::reason::{Evidence, Fingerprint, Reason, Recheck};
use crate::sender::Sender;
use crate::zap::{Client, Identity, Reply, Status};

/// Writes and reads connection tags.
///
/// A tag records who was accepted at the handshake, and on which evidence. It is one more property of the ZAP reply, and
/// libzmq attaches those properties to every message that the server receives on that connection:
///
/// ```text
/// 9f86…08 CURVE 6c6162 5b3e…c1 none 42 6e616d65,726f6c65
/// │       │     │      │       │    │  └ names of the reply's metadata, in hex: any other property is the client's own
/// │       │     │      │       │    └ a number for each handshake, so that a tag stands for one connection
/// │       │     │      │       └ evidence: none, callback, or a fingerprint of the password
/// │       │     │      └ identity, in hex: the key, user name or principal
/// │       │     └ domain, in hex
/// │       └ mechanism
/// └ secret: 16 random bytes in hex
/// ```
///
/// It is text because libzmq returns properties as C strings: a NUL byte would end it, hence the hex. It starts with a
/// secret because a client can send a property of any name, and libzmq keeps the client's where the ZAP reply has none of
/// that name: without the secret, a client of a server that doesn't tag could forge a tag. The tag never leaves the
/// process, so no client sees the secret.
pub(super) struct ConnectionTags {
    secret: String,
    /// The number of tags made so far.
    number: AtomicU64,
}

impl ConnectionTags {
    pub(super) fn new() -> Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
        Ok(ConnectionTags { secret: hex(&random), number: AtomicU64::new(0) })
    }

    /// Adds a tag to the reply that accepts a client.
    pub(super) fn attach(&self, client: &Client<'_>, reason: Reason, reply: &mut Reply) {
        if reply.status() != Status::Success {
            return;
        }
        let identity = match &client.identity {
            Identity::Nobody => String::new(),
            Identity::Key(key) => hex(key.as_bytes()),
            Identity::User(name) | Identity::Principal(name) => hex(name),
        };
        let evidence = match reason.evidence() {
            Evidence::None => "none".to_owned(),
            Evidence::Callback(_) => "callback".to_owned(),
            Evidence::Password(fingerprint) => format!("{fingerprint:x}"),
        };
        let mechanism = String::from_utf8_lossy(&client.mechanism);
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let names = reply.metadata_names().map(hex).collect::<Vec<_>>().join(",");
        let domain = hex(&client.domain);
        let tag = format!("{} {mechanism} {domain} {identity} {evidence} {number} {names}", self.secret);
        reply.add_property(TAG_PROPERTY, &tag);
    }

    /// The client that was accepted and the evidence; `None` for a tag that isn't ours. The address is the message's.
    pub(super) fn read<'t>(&self, tag: &'t str, address: &'t [u8]) -> Option<(Client<'t>, Evidence)> {
        let mut parts = tag.split(' ');
        let secret = parts.next()?;
        if !constant_time_eq(secret.as_bytes(), self.secret.as_bytes()) {
            return None;
        }
        let (mechanism, domain, identity) = (parts.next()?, unhex(parts.next()?)?, unhex(parts.next()?)?);
        let evidence = match parts.next()? {
            "none" => Evidence::None,
            "callback" => Evidence::Callback(None),
            fingerprint => Evidence::Password(Fingerprint::new(u64::from_str_radix(fingerprint, 16).ok()?)?),
        };
        let identity = match mechanism {
            "PLAIN" => Identity::User(identity.into()),
            "CURVE" => Identity::Key(<[u8; 32]>::try_from(identity).ok()?.into()),
            "GSSAPI" => Identity::Principal(identity.into()),
            _ => Identity::Nobody,
        };
        let mechanism = mechanism.as_bytes().into();
        Some((Client { mechanism, domain: domain.into(), address: address.into(), identity }, evidence))
    }
}

/// The number of the handshake that made this tag.
pub(super) fn handshake_number(tag: &str) -> Option<u64> {
    tag.split(' ').nth(5)?.parse().ok()
}

/// The names of the metadata that the reply with this tag had.
pub(super) fn metadata_names(tag: &str) -> impl Iterator<Item = String> {
    let names = tag.split(' ').nth(6).unwrap_or_default().split(',').filter(|name| !name.is_empty());
    names.filter_map(|name| String::from_utf8(unhex(name)?).ok())
}

impl Authenticator {
    /// Marks the messages of clients that are accepted from now on, so that
    /// [`is_still_allowed`](Self::is_still_allowed) knows who sent them. The mark is a property of the client's messages. It
    /// takes about 150 bytes a connection plus twice the length of its metadata names, and never leaves the process.
    ///
    /// # Errors
    /// [`Error::Random`] when the system has no randomness.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.mark_clients()?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn mark_clients(&self) -> Result<()> {
        let tags = ConnectionTags::new()?;
        self.write().tags.get_or_insert(tags);
        self.shared.tags_connections.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether the sender of a message would still be accepted: a handshake is decided only once, and removing a key
    /// doesn't disconnect its client. Call it for each message on ROUTER, REP or PULL sockets; it takes as long as a few
    /// look-ups, whatever the size of the policy.
    ///
    /// It checks the policy as it is now: the address rules, and whether the domain's source still has the key (with a
    /// certificate that is valid now), or still has the user with the password that the client presented. Callbacks aren't
    /// run again: a client that a callback accepted stays allowed for as long as a callback decides its domain.
    ///
    /// `false` for a message without a mark: call [`mark_clients`](Self::mark_clients) first. A client that was accepted
    /// before that has to reconnect (see [`SocketExt::rebind`](crate::SocketExt::rebind)).
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
    /// let mut message = server.recv_msg(0)?;
    /// assert!(auth.is_still_allowed(&mut message));
    ///
    /// auth.configure_plain("shop", [("bob", "tr0ub4dor")])?; // Alice leaves
    /// assert!(!auth.is_still_allowed(&mut message));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_still_allowed(&self, message: &mut zmq::Message) -> bool {
        let sender = Sender::of(message);
        // With an empty address, any address rule refuses it.
        let address = sender.address().unwrap_or_default().as_bytes().to_vec();
        let Some(tag) = sender.property(TAG_PROPERTY) else { return false };
        let policy = self.read();
        let client = policy.tags.as_ref().and_then(|tags| tags.read(tag, &address));
        client.is_some_and(|(client, evidence)| policy.recheck(&client, evidence, Recheck::Connected).is_ok())
    }
}

impl Policy {
    /// Whether the policy as it is now would accept this client, on the evidence on which it was accepted.
    pub(super) fn recheck(&self, client: &Client<'_>, evidence: Evidence, which: Recheck) -> Result<(), Reason> {
        self.addresses.check(&client.address).map_err(Reason::Address)?;
        let domain = &client.domain;
        match (&*client.mechanism, &client.identity) {
            (b"NULL", _) => match self.domains.find(domain, |sources| sources.null.as_ref()) {
                None => Ok(()),
                Some(source) => source.recheck(evidence),
            },
            (b"PLAIN", Identity::User(name)) => {
                let source = self.domains.find(domain, |sources| sources.plain.as_ref());
                source.ok_or(Reason::NotConfigured)?.recheck(name, evidence, which)
            }
            (b"CURVE", Identity::Key(key)) => {
                let source = self.domains.find(domain, |sources| sources.curve.as_ref());
                source.ok_or(Reason::NotConfigured)?.recheck(key, evidence, which)
            }
            (b"GSSAPI", _) => {
                let source = self.domains.find(domain, |sources| sources.gssapi.as_ref());
                source.copied().ok_or(Reason::NotConfigured)
            }
            _ => Err(Reason::UnknownMechanism),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::fingerprint_of;

    fn has(auth: &Authenticator, mechanism: &str, identity: &[u8], evidence: Evidence) -> bool {
        let tags = ConnectionTags::new().unwrap();
        let evidence = match evidence {
            Evidence::None => "none".to_owned(),
            Evidence::Callback(_) => "callback".to_owned(),
            Evidence::Password(fingerprint) => format!("{fingerprint:x}"),
        };
        let tag = format!("{} {mechanism} {} {} {evidence}", tags.secret, hex(b"d"), hex(identity));
        let read = tags.read(&tag, b"127.0.0.1");
        read.is_some_and(|(client, evidence)| auth.read().recheck(&client, evidence, Recheck::Connected).is_ok())
    }

    const CALLBACK: Evidence = Evidence::Callback(None);

    fn password(password: &[u8]) -> Evidence {
        Evidence::Password(fingerprint_of(password))
    }

    #[test]
    fn nobody_stays_by_a_mechanism_that_is_not_configured() {
        let auth = Authenticator::new();
        assert!(has(&auth, "NULL", b"", Evidence::None));
        for mechanism in ["PLAIN", "CURVE", "GSSAPI", "BOGUS", "null", ""] {
            for evidence in [Evidence::None, CALLBACK] {
                assert!(!has(&auth, mechanism, &[7; 32], evidence), "{mechanism}");
            }
        }
        auth.configure_gssapi("d").unwrap();
        assert!(has(&auth, "GSSAPI", b"alice@REALM", Evidence::None) && !has(&auth, "CURVE", &[7; 32], Evidence::None));
    }

    #[test]
    fn a_plain_client_stays_while_its_password_is_unchanged() {
        let auth = Authenticator::new();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "alice=correct horse\n").unwrap();
        auth.configure_plain("d", [("alice", "correct horse")]).unwrap();
        for _ in 0..2 {
            assert!(has(&auth, "PLAIN", b"alice", password(b"correct horse")));
            assert!(!has(&auth, "PLAIN", b"alice", password(b"battery")));
            assert!(!has(&auth, "PLAIN", b"bob", password(b"correct horse")));
            assert!(!has(&auth, "PLAIN", b"alice", CALLBACK) && !has(&auth, "PLAIN", b"alice", Evidence::None));
            auth.configure_plain_file("d", &crate::PasswordFile::open(&file).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_curve_client_stays_while_its_key_is_listed() {
        let auth = Authenticator::new();
        auth.configure_curve_keys("d", [[7; 32].into()]).unwrap();
        assert!(has(&auth, "CURVE", &[7; 32], Evidence::None) && !has(&auth, "CURVE", &[8; 32], Evidence::None));
        assert!(!has(&auth, "CURVE", &[7; 31], Evidence::None) && !has(&auth, "CURVE", &[7; 33], Evidence::None));
        auth.configure_curve("d", crate::CURVE_ALLOW_ANY).unwrap();
        assert!(has(&auth, "CURVE", &[8; 32], Evidence::None));
    }

    #[test]
    fn a_client_accepted_by_a_callback_stays_while_a_callback_decides() {
        let auth = Authenticator::new();
        auth.configure_plain_callback("d", |_, _, _| false).unwrap();
        auth.configure_curve_callback("d", |_, _| false).unwrap();
        for evidence in [Evidence::None, password(b"correct horse")] {
            assert!(!has(&auth, "PLAIN", b"alice", evidence) && !has(&auth, "CURVE", &[7; 32], evidence));
        }
        assert!(has(&auth, "PLAIN", b"alice", CALLBACK) && has(&auth, "CURVE", &[7; 32], CALLBACK));
    }

    #[test]
    fn a_tag_is_read_only_by_its_maker() {
        let (tags, others) = (ConnectionTags::new().unwrap(), ConnectionTags::new().unwrap());
        let tag = format!("{} PLAIN {} {} ff", tags.secret, hex(b"d"), hex(b"alice"));
        let (client, evidence) = tags.read(&tag, b"::1").unwrap();
        assert_eq!((&*client.mechanism, &*client.domain, &*client.address), (&b"PLAIN"[..], &b"d"[..], &b"::1"[..]));
        assert!(matches!(&client.identity, Identity::User(name) if **name == *b"alice"));
        assert_eq!(evidence, Evidence::Password(Fingerprint::new(255).unwrap()));
        assert!(others.read(&tag, b"").is_none());
        let secret = &tags.secret;
        for bad in ["", " PLAIN 64 61 ff", &format!("{secret} PLAIN 64 61"), &format!("{secret} PLAIN 6 61 ff")] {
            assert!(tags.read(bad, b"").is_none(), "{bad:?}");
        }
        for bad in ["PLAIN 64 6g ff", "PLAIN 64 61 fg", "PLAIN 64 61 0", "PLAIN 64 61 "] {
            assert!(tags.read(&format!("{secret} {bad}"), b"").is_none(), "{bad:?}");
        }
        assert_eq!(unhex(&hex(&[0, 1, 0x7f, 0xff])).unwrap(), [0, 1, 0x7f, 0xff]);
    }
}
