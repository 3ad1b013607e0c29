//! Is who sent this message still welcome? A mark on the messages says whom the handshake let in, and as what.

use std::fmt::Write;
use std::time::SystemTime;

use constant_time_eq::constant_time_eq;

use super::curve::Known;
use super::plain::PlainSource;
use super::{Authenticator, Policy};
use crate::error::{Error, Result};
use crate::keys::PublicKey;
use crate::sender::Sender;
use crate::zap::{Reply, Status, Subject, Who};

/// The property that carries the mark. Metadata by this name from elsewhere is never sent.
pub(crate) const PROPERTY: &str = "Zmq-Auth-Mark";

/// The secret that tells our marks from those that a client makes up: a client can send a property of any name, and libzmq
/// keeps it where the ZAP reply has none. No client ever sees it.
pub(crate) struct Marks {
    secret: String,
}

impl Marks {
    fn new() -> Result<Self> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
        Ok(Marks { secret: hex(&random) })
    }

    /// Marks who is let in.
    pub(super) fn put(&self, subject: &Subject<'_>, reply: &mut Reply) {
        if reply.status() != Status::Success {
            return;
        }
        let who = match &subject.who {
            Who::Nobody => String::new(),
            Who::Key(key) => hex(key.as_bytes()),
            Who::User(name) | Who::Principal(name) => hex(name),
        };
        let mark = format!(
            "{} {} {} {who} {:x}",
            self.secret,
            String::from_utf8_lossy(&subject.mechanism),
            hex(&subject.domain),
            reply.credential()
        );
        reply.add_property(PROPERTY, &mark);
    }

    /// What a mark says; `None` for one that isn't ours.
    fn read<'m>(&self, mark: &'m str) -> Option<Mark<'m>> {
        let mut parts = mark.split(' ');
        let secret = parts.next()?;
        if !constant_time_eq(secret.as_bytes(), self.secret.as_bytes()) {
            return None;
        }
        let (mechanism, domain, who) = (parts.next()?, unhex(parts.next()?)?, unhex(parts.next()?)?);
        let credential = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some(Mark { mechanism, domain, who, credential })
    }
}

struct Mark<'m> {
    mechanism: &'m str,
    domain: Vec<u8>,
    who: Vec<u8>,
    credential: u64,
}

/// The credential of whom a callback let in.
pub(super) const BY_CALLBACK: u64 = u64::MAX;

impl Mark<'_> {
    /// A callback isn't asked again; whom a list had let in, it was never asked about.
    fn is_of_a_callback(&self) -> bool {
        self.credential == BY_CALLBACK
    }
}

impl Authenticator {
    /// Marks the messages of clients that are let in from now on, so that
    /// [`is_still_allowed`](Self::is_still_allowed) can tell whom they are from. The mark is one more property of the
    /// client's messages, of about 150 bytes a connection; it never leaves the process.
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
        let marks = Marks::new()?;
        self.write_settling().marks.get_or_insert(marks);
        Ok(())
    }

    /// Whether the sender of a message would still be let in: handshakes are decided once, and libzmq can't drop a client
    /// whose key is removed. To be asked of each message on ROUTER, REP or PULL sockets; it takes the time of a
    /// few look-ups, whatever the size of the policy.
    ///
    /// It asks the policy as it is now: the address rules, and whether the domain's source still has the key (and its
    /// certificate is valid), or still has the user with the password that the client showed. A callback isn't asked
    /// again: whom one let in stays allowed while the domain is decided by a callback, and nobody else does.
    ///
    /// `false` for a message without a mark: [`mark_clients`](Self::mark_clients) comes first, and a client that was let
    /// in before has to connect again (see [`SocketExt::rebind`](crate::SocketExt::rebind)).
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
        let mut sender = Sender::of(message);
        let Some(mark) = sender.property(PROPERTY).map(str::to_owned) else { return false };
        let policy = self.read();
        let Some(mark) = policy.marks.as_ref().and_then(|marks| marks.read(&mark)) else { return false };
        // No address, no say: a rule about addresses then keeps it out.
        policy.addresses.check(sender.address().unwrap_or_default().as_bytes()).is_ok() && policy.still_has(&mark)
    }
}

impl Policy {
    fn still_has(&self, mark: &Mark<'_>) -> bool {
        match mark.mechanism {
            "NULL" => true,
            "PLAIN" => match self.domains.find(&mark.domain, |sources| sources.plain.as_ref()) {
                None => false,
                Some(PlainSource::Table(table)) => table.credential(&mark.who) == Some(mark.credential),
                Some(PlainSource::File { file, .. }) => file.credential(&mark.who) == Some(mark.credential),
                Some(PlainSource::Callback(_)) => mark.is_of_a_callback(),
                #[cfg(feature = "tokio")]
                Some(PlainSource::AsyncCallback(_)) => mark.is_of_a_callback(),
            },
            "CURVE" => {
                let Ok(key) = <[u8; 32]>::try_from(mark.who.as_slice()).map(PublicKey::from) else { return false };
                let source = self.domains.find(&mark.domain, |sources| sources.curve.as_ref());
                match source.map(|source| source.look_up(&key)) {
                    None | Some(Known::No) => false,
                    Some(Known::Listed { info }) => {
                        let validity = info.as_ref().and_then(|info| info.validity.as_ref());
                        validity.is_none_or(|validity| validity.check(SystemTime::now()).is_ok())
                    }
                    Some(Known::Any) => true,
                    Some(Known::Ask(_)) => mark.is_of_a_callback(),
                    #[cfg(feature = "tokio")]
                    Some(Known::AskAsync(_)) => mark.is_of_a_callback(),
                }
            }
            "GSSAPI" => self.domains.find(&mark.domain, |sources| sources.gssapi.as_ref()).is_some(),
            _ => false,
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
    use super::super::plain::credential;
    use super::*;

    fn has(auth: &Authenticator, mechanism: &str, who: &[u8], credential: u64) -> bool {
        auth.read().still_has(&Mark { mechanism, domain: b"d".to_vec(), who: who.to_vec(), credential })
    }

    #[test]
    fn a_mechanism_that_is_not_configured_lets_nobody_stay() {
        let auth = Authenticator::new();
        assert!(has(&auth, "NULL", b"", 0));
        for mechanism in ["PLAIN", "CURVE", "GSSAPI", "BOGUS", "null", ""] {
            for credential in [0, BY_CALLBACK] {
                assert!(!has(&auth, mechanism, &[7; 32], credential), "{mechanism}");
            }
        }
        auth.configure_gssapi("d").unwrap();
        assert!(has(&auth, "GSSAPI", b"alice@REALM", 0) && !has(&auth, "CURVE", &[7; 32], 0));
    }

    #[test]
    fn a_password_stays_as_long_as_it_is_the_one() {
        let auth = Authenticator::new();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "alice=correct horse\n").unwrap();
        auth.configure_plain("d", [("alice", "correct horse")]).unwrap();
        for _ in 0..2 {
            assert!(has(&auth, "PLAIN", b"alice", credential(b"correct horse")));
            assert!(!has(&auth, "PLAIN", b"alice", credential(b"battery")));
            assert!(!has(&auth, "PLAIN", b"bob", credential(b"correct horse")));
            assert!(!has(&auth, "PLAIN", b"alice", BY_CALLBACK) && !has(&auth, "PLAIN", b"alice", 0));
            auth.configure_plain_file("d", &crate::PasswordFile::open(&file).unwrap()).unwrap();
        }
    }

    #[test]
    fn a_key_stays_as_long_as_it_is_listed() {
        let auth = Authenticator::new();
        auth.configure_curve_keys("d", [[7; 32].into()]).unwrap();
        assert!(has(&auth, "CURVE", &[7; 32], 0) && !has(&auth, "CURVE", &[8; 32], 0));
        assert!(!has(&auth, "CURVE", &[7; 31], 0) && !has(&auth, "CURVE", &[7; 33], 0));
        auth.configure_curve("d", crate::CURVE_ALLOW_ANY).unwrap();
        assert!(has(&auth, "CURVE", &[8; 32], 0));
    }

    #[test]
    fn whom_a_callback_let_in_stays_as_long_as_a_callback_decides() {
        let auth = Authenticator::new();
        auth.configure_plain_callback("d", |_, _, _| false).unwrap();
        auth.configure_curve_callback("d", |_, _| false).unwrap();
        for credential in [0, credential(b"correct horse")] {
            assert!(!has(&auth, "PLAIN", b"alice", credential) && !has(&auth, "CURVE", &[7; 32], credential));
        }
        assert!(has(&auth, "PLAIN", b"alice", BY_CALLBACK) && has(&auth, "CURVE", &[7; 32], BY_CALLBACK));
    }

    #[test]
    fn a_mark_is_read_only_by_who_made_it() {
        let (marks, others) = (Marks::new().unwrap(), Marks::new().unwrap());
        let mark = format!("{} PLAIN {} {} ff", marks.secret, hex(b"d"), hex(b"alice"));
        let read = marks.read(&mark).unwrap();
        assert_eq!(
            (read.mechanism, &read.domain[..], &read.who[..], read.credential),
            ("PLAIN", &b"d"[..], &b"alice"[..], 255)
        );
        assert!(others.read(&mark).is_none());
        let secret = &marks.secret;
        for bad in ["", " PLAIN 64 61 ff", &format!("{secret} PLAIN 64 61"), &format!("{secret} PLAIN 6 61 ff")] {
            assert!(marks.read(bad).is_none(), "{bad:?}");
        }
        for bad in ["PLAIN 64 6g ff", "PLAIN 64 61 fg", "PLAIN 64 61 "] {
            assert!(marks.read(&format!("{secret} {bad}")).is_none(), "{bad:?}");
        }
        assert_eq!(unhex(&hex(&[0, 1, 0x7f, 0xff])).unwrap(), [0, 1, 0x7f, 0xff]);
    }
}
