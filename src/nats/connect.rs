//! Where a bucket is, and how to log in there.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};

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
}

/// Who takes what a NATS server says of its own accord.
pub(super) trait ServerWords: Send + Sync + 'static {
    fn heard(&self, words: &str);
}

/// Listens to none.
pub(super) struct NoWords;

impl NoWords {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(NoWords)
    }
}

impl ServerWords for NoWords {
    fn heard(&self, _: &str) {}
}

/// How long an answer of the cluster may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How often a server proves its contact.
const HEARTBEAT: Duration = Duration::from_secs(1);

impl NatsBucket {
    /// The bucket of this name, on a server or a cluster: one URL, or several with commas between them.
    ///
    /// # Errors
    /// [`Error::Nats`] for a URL that is none, where only some ask for TLS, or that has a password in it (URLs are shown; use [`login`](Self::login)), and
    /// for a name that no bucket can have.
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
        Ok(NatsBucket { addresses, bucket: bucket.into(), login: None, ca_file: None, heartbeat: HEARTBEAT })
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

    /// Logs in with what stands in a file: one line `user=password`, the seed of an nkey, or the credentials file (`.creds`)
    /// of a NATS account. It is read again for each connection, so that a login can be changed while servers run. Where
    /// others than the file's owner may read it, that is warned about.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that can't be read, [`Error::PasswordFile`] for one that is none of these.
    ///
    /// ```no_run
    /// let bucket = zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?.login_file("/etc/shop/nats-login")?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn login_file(mut self, file: impl Into<PathBuf>) -> Result<Self> {
        self.login = Some(Login::of_file(file.into())?);
        Ok(self)
    }

    /// Requires TLS, and trusts the certificate authorities of this PEM file. A URL `tls://…` requires TLS, too, and trusts
    /// the system's.
    ///
    /// ```
    /// let bucket = zmq_auth::NatsBucket::new("tls://127.0.0.1:4222", "clients")?.ca_file("/etc/nats/ca.pem");
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// How often a follower writes its heartbeat, 1 s unless this says otherwise. It is the write that proves contact: a
    /// fleet of a hundred servers makes a hundred writes a second.
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

    /// Connects, with reconnections from then on.
    pub(super) async fn connect(&self, name: &str, heard: Arc<impl ServerWords>) -> Result<Client> {
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            // They are told in clear text, and would be connected to without TLS.
            .ignore_discovered_servers()
            .require_tls(self.addresses.iter().any(ServerAddr::tls_required))
            .event_callback(move |event| {
                // What the server has against us, such as a right that is missing: it answers nothing else.
                if let Event::ServerError(error) = event {
                    heard.heard(&error.to_string());
                }
                async {}
            })
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(100)
                    .saturating_mul(attempts.try_into().unwrap_or(u32::MAX))
                    .min(Duration::from_secs(1))
            });
        if let Some(login) = &self.login {
            options = login.give(options)?;
        }
        if let Some(file) = &self.ca_file {
            options = options.require_tls(true).add_root_certificates(file.clone());
        }
        options.connect(&self.addresses[..]).await.map_err(|error| failed("connect", &error))
    }

    pub(super) fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    /// The subject of an entry.
    pub(super) fn subject(&self, name: &str) -> String {
        format!("$KV.{}.{name}", self.bucket)
    }
}

/// The client's error, with what is behind it. None of them quotes credentials or values.
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

/// Why a stream can't hold credentials: entries could vanish without a word to those who follow.
pub(super) fn unsuitable(config: &Config) -> Option<&'static str> {
    let markers = config.subject_delete_marker_ttl.is_some_and(|ttl| !ttl.is_zero());
    if config.max_messages_per_subject < 1 {
        return Some("the stream is no key-value bucket");
    }
    if (config.max_age > Duration::ZERO || config.allow_message_ttl) && !markers {
        return Some("its entries may expire without a marker, so nobody would notice: make it with markers");
    }
    if config.mirror.is_some() || config.sources.as_ref().is_some_and(|sources| !sources.is_empty()) {
        return Some("it is a copy of another bucket, which can't be written to: follow that one");
    }
    None
}

impl fmt::Debug for NatsBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBucket").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
