//! The address of a bucket, the connection to it, and the configuration that it must have.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType};
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tokio::time::timeout;

use super::login::Login;
use crate::error::{Error, Result};
use crate::plain::Password;

/// A bucket of NATS JetStream's key-value store that holds the credentials of a fleet of servers (feature `nats`). See
/// [`fleet`](crate::fleet) for how to make one, and for the rights that a server needs.
///
/// ```no_run
/// use zmq_auth::{Authenticator, NatsBucket, Password};
///
/// let bucket = NatsBucket::new("nats://10.0.0.1:4222,nats://10.0.0.2:4222", "clients")?
///     .login("server-1", &Password::from("correct horse battery staple"));
/// let follower = bucket.follow("lab", "server-1")?;
/// let auth = Authenticator::new();
/// auth.configure_curve_pushed("lab", follower.credentials())?;
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Clone)]
pub struct NatsBucket {
    addresses: Vec<ServerAddr>,
    pub(super) bucket: String,
    login: Option<Login>,
    ca_file: Option<PathBuf>,
    pub(super) heartbeat: Duration,
    pub(super) read_again: Duration,
}

/// A receiver of the errors that a NATS server sends unasked.
pub(super) trait ServerWords: Send + Sync + 'static {
    fn heard(&self, words: &str);
}

/// Ignores them.
pub(super) struct NoWords;

impl NoWords {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(NoWords)
    }
}

impl ServerWords for NoWords {
    fn heard(&self, _: &str) {}
}

/// The longest wait for an answer of the cluster.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The longest wait for a connection, with the resolution of all names, for which the client has no limit.
const CONNECTION: Duration = Duration::from_secs(20);
/// The longest wait for a new consumer: a NATS server that has a million entries needs seconds to create one.
pub(super) const LONGEST_CREATION: Duration = Duration::from_secs(60);
pub(super) const CREATE: &str = "create a consumer of the bucket";
/// How often a server proves its contact.
const HEARTBEAT: Duration = Duration::from_secs(1);
const READ_AGAIN: Duration = Duration::from_secs(3600);
/// The largest entry with its headers, in bytes. A login that may write two entries can't fill the bucket.
const LARGEST_MESSAGE: i32 = 1 << 16;

impl NatsBucket {
    /// The bucket of this name, on a server or a cluster: one URL, or several separated by commas.
    ///
    /// # Errors
    /// [`Error::Nats`] for an invalid URL, for one with a password in it (URLs appear in output; use
    /// [`login`](Self::login)), if some URLs ask for TLS and others don't, and for a name that no bucket can have.
    ///
    /// ```
    /// use zmq_auth::NatsBucket;
    ///
    /// assert!(NatsBucket::new("nats://127.0.0.1:4222", "clients").is_ok());
    /// assert!(NatsBucket::new("nats://admin:secret@127.0.0.1:4222", "clients").is_err());
    /// assert!(NatsBucket::new("ws://127.0.0.1:4222", "clients").is_err());
    /// assert!(NatsBucket::new("tls://10.0.0.1:4222,nats://10.0.0.2:4222", "clients").is_err());
    /// ```
    pub fn new(urls: &str, bucket: &str) -> Result<Self> {
        let refused = |problem: &str| Error::Nats { action: "use the URL", problem: problem.into() };
        let mut addresses = Vec::new();
        for url in urls.split(',') {
            let address: ServerAddr =
                url.trim().parse().map_err(|_| refused("it is no URL such as nats://HOST:4222"))?;
            if address.username().is_some() || address.password().is_some() {
                return Err(refused("it has a user or password in it, which would be shown: give them apart"));
            }
            if !["nats", "tls"].contains(&address.scheme()) {
                return Err(refused("it begins with neither nats:// nor tls://"));
            }
            addresses.push(address);
        }
        let with_tls = addresses.iter().filter(|address| address.tls_required()).count();
        if with_tls > 0 && with_tls < addresses.len() {
            return Err(refused(
                "some begin with tls:// and some don't: those without would be sent the password in clear",
            ));
        }
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if bucket.is_empty() || !bucket.bytes().all(is_part) {
            let problem = "its name may have letters, digits, - and _ only".into();
            return Err(Error::Nats { action: "use the bucket", problem });
        }
        Ok(NatsBucket {
            addresses,
            bucket: bucket.into(),
            login: None,
            ca_file: None,
            heartbeat: HEARTBEAT,
            read_again: READ_AGAIN,
        })
    }

    /// Logs in with a user and a password.
    ///
    /// ```
    /// use zmq_auth::{NatsBucket, Password};
    ///
    /// let bucket = NatsBucket::new("nats://127.0.0.1:4222", "clients")?.login("server-1", &Password::from("secret"));
    /// assert!(!format!("{bucket:?}").contains("secret"));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn login(mut self, user: impl Into<String>, password: &Password) -> Self {
        self.login = Some(Login::Password(user.into(), password.clone()));
        self
    }

    /// Logs in with a file: one line `user=password`, the seed of an nkey, or a NATS credentials file (`.creds`). It is
    /// read again for each connection, so the login can be changed while servers run. If anybody but the file's owner
    /// has access to it, a warning is logged.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that can't be read, [`Error::PasswordFile`] for one in another format.
    ///
    /// ```no_run
    /// let bucket = zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?.login_file("/etc/shop/nats-login")?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn login_file(mut self, file: impl Into<PathBuf>) -> Result<Self> {
        self.login = Some(Login::of_file(file.into())?);
        Ok(self)
    }

    /// Requires TLS, and trusts the certificate authorities in this PEM file. A URL `tls://…` also requires TLS, and
    /// trusts the system's authorities.
    ///
    /// ```
    /// let bucket = zmq_auth::NatsBucket::new("tls://127.0.0.1:4222", "clients")?.ca_file("/etc/nats/ca.pem");
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// Sets how often a follower writes its heartbeat; the default is 1 s. Each heartbeat is a write to the bucket:
    /// with the default, a hundred servers make a hundred writes a second.
    ///
    /// # Errors
    /// [`Error::Limit`] for a time that isn't 100 ms to 1 min.
    ///
    /// ```
    /// use std::time::Duration;
    /// let bucket = zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?;
    /// let bucket = bucket.heartbeat(Duration::from_secs(5))?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn heartbeat(mut self, interval: Duration) -> Result<Self> {
        if !(Duration::from_millis(100)..=Duration::from_secs(60)).contains(&interval) {
            return Err(Error::Limit { what: "interval of heartbeats", problem: "must be 100 ms to 1 min" });
        }
        self.heartbeat = interval;
        Ok(self)
    }

    /// Sets how often a follower reads the whole bucket again; the default is 1 h. That corrects what it can't notice:
    /// entries that vanished while somebody changed the bucket's configuration for a moment. It needs a proof of contact
    /// after it as any snapshot does, so `max_age` should be longer than a snapshot takes. Each time is up to a quarter
    /// shorter, so that not all servers read at once.
    ///
    /// # Errors
    /// [`Error::Limit`] for a time that isn't 1 s to 7 days.
    ///
    /// ```
    /// use std::time::Duration;
    /// let bucket = zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?;
    /// let bucket = bucket.read_again(Duration::from_secs(24 * 3600))?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn read_again(mut self, interval: Duration) -> Result<Self> {
        if !(Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600)).contains(&interval) {
            return Err(Error::Limit { what: "interval of reading a bucket again", problem: "must be 1 s to 7 days" });
        }
        self.read_again = interval;
        Ok(self)
    }

    /// Connects. If the connection is lost, the client tries each server once more, then ends.
    pub(super) async fn connect(&self, name: &str, inbox: &str, heard: Arc<impl ServerWords>) -> Result<Client> {
        let mut options = ConnectOptions::new()
            .name(name)
            .custom_inbox_prefix(inbox)
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .max_reconnects(self.addresses.len())
            // Discovered servers are announced in clear text, and the client would connect to them without TLS.
            .ignore_discovered_servers()
            .require_tls(self.addresses.iter().any(ServerAddr::tls_required))
            .event_callback(move |event| {
                // Such as a missing permission: the server doesn't answer the request itself then.
                if let Event::ServerError(error) = event {
                    heard.heard(&error.to_string());
                }
                async {}
            })
            .reconnect_delay_callback(|_| Duration::from_millis(100));
        if let Some(login) = &self.login {
            options = login.give(options)?;
        }
        if let Some(file) = &self.ca_file {
            options = options.require_tls(true).add_root_certificates(file.clone());
        }
        match timeout(CONNECTION, options.connect(&self.addresses[..])).await {
            Ok(connected) => connected.map_err(|error| failed("connect", &error)),
            Err(_) => {
                let problem = format!("no connection within {} s: can the names be resolved?", CONNECTION.as_secs());
                Err(Error::Nats { action: "connect", problem })
            }
        }
    }

    /// The name of the stream that stores the bucket.
    pub(super) fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    /// The subject of the entry of this name.
    pub(super) fn subject(&self, name: &str) -> String {
        format!("$KV.{}.{name}", self.bucket)
    }
}

/// The client's error with its sources. None of them quotes credentials or values.
pub(super) fn failed(action: &'static str, error: &(dyn StdError + 'static)) -> Error {
    let mut problem = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !problem.contains(&text) {
            problem = format!("{problem}: {text}");
        }
        source = error.source();
    }
    Error::Nats { action, problem }
}

/// The configuration of a bucket's stream: an entry can only be replaced by a later one of the same name.
///
/// NATS's own key-value buckets allow rollups, with which anybody who may write one entry can empty the whole bucket.
/// NATS requires rollups wherever markers of removed entries expire, so here the markers stay.
pub(super) fn stream_config(name: String, subjects: String, replicas: usize) -> Config {
    Config {
        name,
        description: Some("credentials of zmq-auth".into()),
        subjects: vec![subjects],
        max_messages_per_subject: 1,
        max_messages: -1,
        max_bytes: -1,
        max_message_size: LARGEST_MESSAGE,
        discard: DiscardPolicy::New,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: replicas,
        allow_rollup: false,
        deny_delete: true,
        deny_purge: true,
        // Reads are answered by the leader only.
        allow_direct: false,
        ..Default::default()
    }
}

/// Why a stream isn't suitable for credentials, if it isn't: entries could vanish or appear unnoticed by followers.
pub(super) fn unsuitable(config: &Config) -> Option<&'static str> {
    let copies = config.sources.as_ref().is_some_and(|sources| !sources.is_empty());
    let is_limited = config.max_messages > 0 || config.max_bytes > 0;
    let markers = config.subject_delete_marker_ttl.is_some_and(|ttl| !ttl.is_zero());
    let checks = [
        (
            config.max_messages_per_subject != 1,
            "it keeps former values, or is no key-value bucket: make it with a history of 1",
        ),
        (
            config.mirror.is_some() || copies,
            "it is a copy of another bucket, which can't be written to: follow that one",
        ),
        (config.allow_rollup, "it allows rollups, by which each server could empty it"),
        (!config.deny_purge || !config.deny_delete, "entries can be purged from it, and nobody would notice"),
        (
            config.max_age > Duration::ZERO || config.allow_message_ttl || markers,
            "its entries may expire, and nobody would notice: use not-after",
        ),
        (
            is_limited && config.discard != DiscardPolicy::New,
            "it discards old entries when it is full, and nobody would notice",
        ),
        (config.retention != RetentionPolicy::Limits, "its entries go when they are read"),
        (config.allow_direct, "any replica answers reads from it, even one that has missed a change"),
        (config.storage != StorageType::File, "it is in memory alone: what was revoked could come back"),
        (config.no_ack || config.persist_mode == Some(PersistenceMode::Async), "it acknowledges what isn't stored yet"),
        (config.allow_message_schedules, "it allows schedules, by which each server could write any entry"),
        (config.allow_message_counter || config.subject_transform.is_some(), "it changes what is written"),
    ];
    checks.iter().find(|(is_so, _)| *is_so).map(|(_, problem)| *problem)
}

impl fmt::Debug for NatsBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBucket").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use async_nats::jetstream::stream::SubjectTransform;

    use super::*;

    #[test]
    fn a_stream_from_which_entries_could_vanish_is_refused() {
        let good = stream_config("KV_clients".into(), "$KV.clients.>".into(), 3);
        assert_eq!(unsuitable(&good), None);
        assert_eq!(unsuitable(&Config { max_bytes: 1 << 30, ..good.clone() }), None, "a full one refuses what is new");
        let hour = Duration::from_secs(3600);
        let transform = SubjectTransform { source: ">".into(), destination: "x.>".into() };
        let bad = [
            (Config { max_messages_per_subject: -1, ..good.clone() }, "no key-value"),
            (Config { max_messages_per_subject: 2, ..good.clone() }, "former values"),
            (Config { mirror: Some(Default::default()), ..good.clone() }, "copy"),
            (Config { sources: Some(vec![Default::default()]), ..good.clone() }, "copy"),
            (Config { allow_rollup: true, ..good.clone() }, "rollups"),
            (Config { deny_purge: false, ..good.clone() }, "purged"),
            (Config { deny_delete: false, ..good.clone() }, "purged"),
            (Config { max_age: hour, ..good.clone() }, "expire"),
            (Config { allow_message_ttl: true, ..good.clone() }, "expire"),
            (Config { subject_delete_marker_ttl: Some(hour), ..good.clone() }, "expire"),
            (Config { max_bytes: 1 << 30, discard: DiscardPolicy::Old, ..good.clone() }, "discards"),
            (Config { max_messages: 1_000, discard: DiscardPolicy::Old, ..good.clone() }, "discards"),
            (Config { retention: RetentionPolicy::WorkQueue, ..good.clone() }, "are read"),
            (Config { allow_direct: true, ..good.clone() }, "replica"),
            (Config { storage: StorageType::Memory, ..good.clone() }, "memory"),
            (Config { no_ack: true, ..good.clone() }, "acknowledges"),
            (Config { persist_mode: Some(PersistenceMode::Async), ..good.clone() }, "acknowledges"),
            (Config { allow_message_schedules: true, ..good.clone() }, "schedules"),
            (Config { allow_message_counter: true, ..good.clone() }, "changes"),
            (Config { subject_transform: Some(transform), ..good }, "changes"),
        ];
        for (config, words) in bad {
            let problem = unsuitable(&config).unwrap_or_default();
            assert!(problem.contains(words), "{words}: {problem}");
        }
    }
}
