//! The format of policy files. The doc comments are the descriptions in its JSON schema.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;
use serde::de::{self, Deserializer};
use toml::Spanned;

use crate::plain::Password;

/// The policy of a ZeroMQ server: which clients zmq-auth accepts.
#[derive(Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "cli", schemars(title = "zmq-auth policy"))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct PolicyText {
    /// Address rules, for all domains and mechanisms. Deny wins; if there is an allow rule, only what one covers is accepted.
    pub(super) addresses: Option<Addresses>,
    /// Limits on failures, callbacks and messages.
    pub(super) limits: Option<Limits>,
    /// Whether connected clients can be checked again.
    pub(super) revocation: Option<Revocation>,
    /// NATS clusters, by the names that `curve` and `plain` use.
    #[cfg(feature = "nats")]
    #[serde(default)]
    #[cfg_attr(feature = "cli", schemars(with = "BTreeMap<String, Nats>"))]
    pub(super) nats: BTreeMap<String, Spanned<Nats>>,
    /// What each ZAP domain accepts; "*" stands for every domain without its own entry, for each mechanism separately.
    #[serde(default)]
    #[cfg_attr(feature = "cli", schemars(with = "BTreeMap<String, Domain>"))]
    pub(super) domain: BTreeMap<Spanned<String>, Spanned<Domain>>,
    /// The gates that the program `zmq-auth gate` runs with this policy. Only the program uses it.
    #[serde(default, rename = "gate")]
    #[cfg_attr(feature = "cli", schemars(with = "Vec<BTreeMap<String, serde_json::Value>>"))]
    pub(super) _gate: Vec<toml::Table>,
}

#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Addresses {
    /// Addresses and subnets that are accepted, such as "10.0.0.7" and "fd00::/8".
    #[cfg_attr(feature = "cli", schemars(with = "Option<Vec<String>>"))]
    pub(super) allow: Option<Spanned<Vec<Spanned<String>>>>,
    /// Addresses and subnets that are refused.
    #[cfg_attr(feature = "cli", schemars(with = "Option<Vec<String>>"))]
    pub(super) deny: Option<Vec<Spanned<String>>>,
    /// Users and groups that are accepted over ipc (Linux).
    #[cfg_attr(feature = "cli", schemars(with = "Option<Vec<IpcRuleText>>"))]
    pub(super) allow_ipc: Option<Spanned<Vec<IpcRuleText>>>,
    /// Users and groups that are refused over ipc (Linux).
    pub(super) deny_ipc: Option<Vec<IpcRuleText>>,
}

/// "any", or the number of a user or of a primary group.
#[derive(Deserialize, Hash, Clone, Copy)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum IpcRuleText {
    Any,
    User(u32),
    Group(u32),
}

#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Limits {
    /// The pause after too many wrong passwords of one address or user.
    #[cfg_attr(feature = "cli", schemars(with = "Option<Failures>"))]
    pub(super) failures: Option<Spanned<Failures>>,
    /// How many callbacks may run, and for how long; by default 64, 5 s and 1,024.
    #[cfg_attr(feature = "cli", schemars(with = "Option<Callbacks>"))]
    pub(super) callbacks: Option<Spanned<Callbacks>>,
    /// The largest message that a server accepts, such as "1 MiB", or a number of bytes.
    #[cfg_attr(feature = "cli", schemars(with = "Option<SizeText>"))]
    pub(super) message_size: Option<Spanned<ByteSize>>,
}

/// A number of bytes, or text such as "1 MiB".
#[cfg(feature = "cli")]
#[derive(schemars::JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "it is there for the schema")]
enum SizeText {
    Bytes(u64),
    Text(String),
}

#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Failures {
    /// The number of wrong passwords.
    pub(super) count: u32,
    /// The time within which they are counted, such as "1m": 1 s to 24h.
    pub(super) within: TimeSpan,
    /// The length of the pause, such as "5m": 1 s to 24h.
    pub(super) pause: TimeSpan,
}

#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Callbacks {
    /// The number of concurrent callbacks: 1 to 4,096.
    pub(super) at_once: Option<usize>,
    /// The number of concurrent async callbacks: 1 to 1,000,000.
    pub(super) async_at_once: Option<usize>,
    /// How long a callback may take, such as "5s": 1 ms to 1 h.
    pub(super) deadline: Option<TimeSpan>,
}

#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Revocation {
    /// Marks clients, so that the server can check each message against the policy as it is then. It can't be undone
    /// while the server runs.
    pub(super) checks: bool,
}

/// A NATS cluster, and how this server logs in.
#[cfg(feature = "nats")]
#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Nats {
    /// URLs such as "nats://10.0.0.1:4222", separated by commas.
    pub(super) urls: String,
    /// This server's name, under which its heartbeat is stored.
    pub(super) server: String,
    /// A file with the login: user=password, the seed of an nkey, or a .creds file; relative to this file.
    pub(super) login: Option<PathBuf>,
    /// A PEM file with the trusted certificate authorities; relative to this file. With it, TLS is required.
    pub(super) ca: Option<PathBuf>,
    /// How often this server writes a heartbeat into the bucket, by default "1s": 100 ms to 1 min.
    pub(super) heartbeat: Option<TimeSpan>,
    /// How long credentials are used without contact, by default "5m": three heartbeats to 30 days.
    pub(super) max_age: Option<TimeSpan>,
    /// What happens to connected clients after that: "refuse" (the default) or "keep".
    pub(super) on_stale: Option<OnStaleText>,
}

#[cfg(feature = "nats")]
#[derive(Deserialize, Hash, Clone, Copy)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum OnStaleText {
    Refuse,
    Keep,
}

/// What one domain accepts. At least one mechanism must be named.
#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Domain {
    /// NULL clients: "allow" or "deny".
    pub(super) null: Option<NullText>,
    /// PLAIN clients.
    #[cfg_attr(feature = "cli", schemars(with = "Option<Plain>"))]
    pub(super) plain: Option<Spanned<Plain>>,
    /// CURVE clients.
    #[cfg_attr(feature = "cli", schemars(with = "Option<Curve>"))]
    pub(super) curve: Option<Spanned<Curve>>,
    /// true: accepts GSSAPI clients, which Kerberos has authenticated. Omit it otherwise.
    #[cfg_attr(feature = "cli", schemars(with = "Option<bool>"))]
    pub(super) gssapi: Option<Spanned<bool>>,
}

impl Domain {
    pub(super) fn names_a_mechanism(&self) -> bool {
        self.null.is_some() || self.plain.is_some() || self.curve.is_some() || self.gssapi.is_some()
    }
}

#[derive(Deserialize, Hash, Clone, Copy)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum NullText {
    Allow,
    Deny,
}

/// Where the users are: one of `file`, `clear_passwords` and `nats`.
#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Plain {
    /// A password file, as `zmq-auth passwd` writes it; relative to this file.
    pub(super) file: Option<PathBuf>,
    /// User names and clear passwords, for tests.
    #[cfg_attr(feature = "cli", schemars(with = "Option<BTreeMap<String, String>>"))]
    pub(super) clear_passwords: Option<BTreeMap<String, ClearPassword>>,
    /// The name of a cluster in the table `nats`, for users in a bucket there.
    #[cfg(feature = "nats")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub(super) nats: Option<Spanned<String>>,
    /// The bucket.
    #[cfg(feature = "nats")]
    pub(super) bucket: Option<String>,
}

/// Which keys are accepted: one of `directory`, `keys`, `any` and `nats`.
#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct Curve {
    /// A directory with a public certificate, `NAME.key`, for each client; relative to this file.
    pub(super) directory: Option<PathBuf>,
    /// Public keys as Z85 text, 40 characters each.
    #[cfg_attr(feature = "cli", schemars(with = "Option<Vec<String>>"))]
    pub(super) keys: Option<Vec<Spanned<String>>>,
    /// Accepts every client that has a key.
    #[serde(default)]
    pub(super) any: bool,
    /// The name of a cluster in the table `nats`, for keys in a bucket there.
    #[cfg(feature = "nats")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub(super) nats: Option<Spanned<String>>,
    /// The bucket.
    #[cfg(feature = "nats")]
    pub(super) bucket: Option<String>,
    /// The user id of a client of the directory: "key", "name" (its file's), or the value of a metadata field.
    #[cfg_attr(feature = "cli", schemars(with = "Option<UserIdText>"))]
    pub(super) user_id: Option<Spanned<UserIdText>>,
}

#[derive(Deserialize, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum UserIdText {
    /// The Z85 text of the client's key.
    Key,
    /// The name of the certificate's file, without `.key`.
    Name,
    /// The value of this field of the certificate's metadata.
    Metadata(String),
}

/// `"5m"`, `"1h 30m"`.
#[derive(Debug, Clone, Copy, Hash)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub(super) struct TimeSpan(#[cfg_attr(feature = "cli", schemars(with = "String"))] pub(super) Duration);

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimeSpanVisitor)
    }
}

struct TimeSpanVisitor;

impl de::Visitor<'_> for TimeSpanVisitor {
    type Value = TimeSpan;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as \"30s\", \"5m\" or \"1h\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeSpan, E> {
        let span: Option<jiff::SignedDuration> = text.parse().ok();
        let span = span.and_then(|span| Duration::try_from(span).ok());
        span.map(TimeSpan).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

pub(super) struct ClearPassword(pub(super) Password);

impl<'de> Deserialize<'de> for ClearPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|password| ClearPassword(password.into()))
    }
}

impl Hash for ClearPassword {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}
