//! The format of a bucket's entries: their names and values.
//!
//! ```text
//! curve.DOMAIN.KEY       {"format":1,"metadata":[["name","Alice"]]}
//! plain.DOMAIN.USER      {"format":1,"hash":"$argon2id$…"}
//! server.DOMAIN.SERVER.0 {"format":2,"beat":"…","sequence":7,"proven":1000,"keys":2,"users":0}
//! ```
//!
//! Domain, key, user and server are base64url without padding: names in a bucket can't contain most other characters,
//! and NATS splits subjects at dots. Each text has exactly one encoding, so each key and user has one entry. A server
//! has two heartbeats, 0 and 1; the module docs of `run` say why.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::certificate::KeyInfo;
use crate::error::Error;
use crate::keys::PublicKey;
use crate::metadata::Metadata;
use crate::plain::{Password, UserChange};

/// The only format of keys and users so far. Writers must write the oldest one that servers of their fleet may know.
const FORMAT: u32 = 1;
/// The format of heartbeats. Those of format 1 didn't say when contact was last proven.
const HEARTBEAT: u32 = 2;
/// The largest value of a key or user, in bytes.
pub(super) const LARGEST: usize = 64_000;

/// The key or user that an entry's name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subject {
    Key(PublicKey),
    User(String),
}

/// The change that an entry makes to its subject; `None` if it removes it.
pub(super) enum Change {
    Key(PublicKey, Option<Option<Arc<KeyInfo>>>),
    User(UserChange),
}

pub(super) fn encode(text: &[u8]) -> String {
    BASE64URL_NOPAD.encode(text)
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

/// The name of a server's heartbeats, without the slot.
pub(super) fn server_name(domain: &str, server: &str) -> String {
    format!("server.{}.{}", encode(domain.as_bytes()), encode(server.as_bytes()))
}

impl Subject {
    /// The entry's name.
    pub(super) fn name(&self, domain: &str) -> String {
        let domain = encode(domain.as_bytes());
        match self {
            Subject::Key(key) => format!("curve.{domain}.{}", encode(key.as_bytes())),
            Subject::User(user) => format!("plain.{domain}.{}", encode(user.as_bytes())),
        }
    }

    /// The subject of an entry with this name, or an error for a name that no writer makes.
    pub(super) fn of(name: &str) -> Result<Self, &'static str> {
        const NOT_ONE: &str = "has a name that stands for nothing: curve.DOMAIN.KEY or plain.DOMAIN.USER, in base64url";
        let mut parts = name.split('.');
        let (Some(kind), Some(_), Some(who), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(NOT_ONE);
        };
        let who = decode(who).ok_or(NOT_ONE)?;
        match kind {
            "curve" => <[u8; 32]>::try_from(who).map(|key| Subject::Key(key.into())).map_err(|_| NOT_ONE),
            "plain" => String::from_utf8(who).map(Subject::User).map_err(|_| NOT_ONE),
            _ => Err(NOT_ONE),
        }
    }

    pub(super) fn removal(&self) -> Change {
        match self {
            Subject::Key(key) => Change::Key(*key, None),
            Subject::User(user) => Change::User(UserChange::removal(user)),
        }
    }

    /// The change that this value makes, or an error for a value that isn't understood, which accepts nobody.
    pub(super) fn change(&self, value: &[u8]) -> Result<Change, &'static str> {
        check_format(value, FORMAT)?;
        match self {
            Subject::Key(key) => {
                let metadata = KeyValue::parse(value)?;
                let info = KeyInfo::of_unread(&metadata).map_err(|(_, problem)| problem)?;
                Ok(Change::Key(*key, Some(info)))
            }
            Subject::User(user) => {
                let value: UserValue = parse(value)?;
                UserChange::new(user, Some(&value.hash)).map(Change::User).map_err(problem)
            }
        }
    }
}

/// The value of a key's entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyValue {
    format: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    metadata: Vec<(String, String)>,
}

impl KeyValue {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let pairs = metadata.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        KeyValue { format: FORMAT, metadata: pairs.collect() }
    }

    pub(super) fn parse(value: &[u8]) -> Result<Metadata, &'static str> {
        check_format(value, FORMAT)?;
        let value: KeyValue = parse(value)?;
        let mut metadata = Metadata::default();
        for (name, value) in value.metadata {
            if metadata.get(&name).is_some() {
                return Err("has metadata with a name twice");
            }
            metadata.insert_unreserved(name, value).map_err(problem)?;
        }
        Ok(metadata)
    }
}

/// The value of a user's entry.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserValue {
    format: u32,
    hash: String,
}

impl UserValue {
    pub(super) fn of(hash: &str) -> Self {
        UserValue { format: FORMAT, hash: hash.to_owned() }
    }

    pub(super) fn parse(value: &[u8]) -> Result<Password, &'static str> {
        check_format(value, FORMAT)?;
        parse::<UserValue>(value).map(|value| value.hash.into())
    }
}

/// The value of a server's heartbeat. Unknown fields are ignored, so later versions may add some: it gives nobody
/// access.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ServerValue {
    format: u32,
    /// A text that identifies this write.
    pub(super) beat: String,
    /// The number of the last entry that the server had applied; 0 before its first proof of contact with this bucket.
    pub(super) sequence: u64,
    /// How long ago contact with this bucket was last proven, in milliseconds; `None` before the first time.
    pub(super) proven: Option<u64>,
    pub(super) keys: usize,
    pub(super) users: usize,
}

impl ServerValue {
    pub(super) fn new(beat: String, position: Option<(u64, Duration)>, keys: usize, users: usize) -> Self {
        let (sequence, proven) = position.unzip();
        let proven = proven.map(|proven| u64::try_from(proven.as_millis()).unwrap_or(u64::MAX));
        ServerValue { format: HEARTBEAT, beat, sequence: sequence.unwrap_or(0), proven, keys, users }
    }

    pub(super) fn parse(value: &[u8]) -> Result<Self, &'static str> {
        check_format(value, HEARTBEAT)?;
        parse(value)
    }
}

pub(super) fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    // Can't fail: only structs and lists of numbers and text.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Reads only the format number: the rest of a later format may look different.
fn check_format(value: &[u8], known: u32) -> Result<(), &'static str> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    // serde would accept a list of the same values, too.
    if !value.trim_ascii_start().starts_with(b"{") {
        return Err("is no JSON with a format number");
    }
    match serde_json::from_slice::<Format>(value) {
        Ok(Format { format }) if format == known => Ok(()),
        Ok(_) => Err("has a format that this version doesn't know: update the server"),
        Err(_) => Err("is no JSON with a format number"),
    }
}

// Doesn't pass on the parser's message, which may quote the value.
fn parse<'v, T: Deserialize<'v>>(value: &'v [u8]) -> Result<T, &'static str> {
    serde_json::from_slice(value).map_err(|_| "has a value that isn't that of its format")
}

/// The problem, without the value that the error quotes.
fn problem(error: Error) -> &'static str {
    match error {
        Error::Metadata { problem, .. } | Error::PlainCredentials { problem, .. } => problem,
        _ => "has a value that can't be used",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    fn key() -> Subject {
        Subject::Key(PublicKey::from([0xff; 32]))
    }

    #[test]
    fn every_name_comes_back_and_fits_into_a_bucket() {
        let domains = ["lab", "*", "a.b>c", "ü\0 ", &"x".repeat(255)];
        for domain in domains {
            for subject in [key(), Subject::User("alice".into()), Subject::User("é.*> \n".into())] {
                let name = subject.name(domain);
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                assert!(name.bytes().all(fits), "{name}");
                assert_eq!(Subject::of(&name), Ok(subject));
            }
        }
        assert_eq!(key().name("lab"), format!("curve.bGFi.{}8", "_".repeat(42)));
    }

    #[test]
    fn a_name_that_no_writer_makes_stands_for_nothing() {
        let good = key().name("lab");
        // Another encoding of the same bytes: with it, one key could have two entries, and removing one wouldn't revoke
        // it.
        let other_ending = format!("{}9", &good[..good.len() - 1]);
        for name in ["", "curve", "curve.bGFi", "curve.bGFi.AAAA", "curve.bGFi.!", "server.bGFi.AAAA", "plain.bGFi._w"]
        {
            assert!(Subject::of(name).is_err(), "{name}");
        }
        for name in [format!("{good}.more"), format!("{good}="), good.replace("curve", "Curve"), other_ending] {
            assert!(Subject::of(&name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_value_that_is_not_understood_accepts_nobody() {
        let user = Subject::User("alice".into());
        for (subject, value) in
            [(key(), r#"{"format":1}"#.to_owned()), (user, format!(r#"{{"format":1,"hash":"{HASH}"}}"#))]
        {
            assert!(subject.change(value.as_bytes()).is_ok(), "{value}");
            let bad = [
                String::new(),
                "null".into(),
                "[1]".into(),
                value.replace("1", "2"),
                value.replace("1", "\"1\""),
                value.replace("\"format\":1", "\"format\":1,\"more\":0"),
                value.replace("\"format\":1", "\"format\":1,\"format\":1"),
                value.replace("\"format\":1", "\"more\":1"),
                format!("{value}x"),
                value[..value.len() - 1].to_owned(),
            ];
            for bad in bad {
                assert!(subject.change(bad.as_bytes()).is_err(), "{bad}");
            }
        }
        for metadata in [
            r#"[["not-after","tomorrow"]]"#,
            r#"[["Not-After","2020-01-01T00:00:00Z"]]"#,
            r#"[["","x"]]"#,
            r#"[["a","x\u0000"]]"#,
            r#"[["a","1"],["a","2"]]"#,
            r#"{"a":"b"}"#,
        ] {
            let value = format!(r#"{{"format":1,"metadata":{metadata}}}"#);
            assert!(key().change(value.as_bytes()).is_err(), "{value}");
        }
        for hash in ["", "clear", "$2y$10$abcdefghijklmnopqrstuu", &HASH.replace("t=2", "t=11")] {
            let value = to_bytes(&UserValue::of(hash));
            assert!(Subject::User("alice".into()).change(&value).is_err(), "{hash}");
        }
        let nul = Subject::User("a\0".into()).change(&to_bytes(&UserValue::of(HASH)));
        assert!(nul.is_err());
    }

    #[test]
    fn metadata_comes_back_in_its_order() {
        let mut metadata = Metadata::default();
        for (name, value) in [("team", "blue"), ("name", "Al\"ice\u{1F600}"), ("not-after", "2999-01-01T00:00:00Z")] {
            metadata.insert(name, value).unwrap();
        }
        assert_eq!(KeyValue::parse(&to_bytes(&KeyValue::of(&metadata))), Ok(metadata));
        assert_eq!(KeyValue::parse(br#"{"format":1}"#), Ok(Metadata::default()));
    }
}
