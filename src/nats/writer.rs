//! Changing a bucket: for administrators and programs that manage credentials.

use std::fmt;
use std::thread;
use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::kv::{self, CreateErrorKind, Operation, Store, UpdateErrorKind};
use async_nats::jetstream::{self, Message};
use futures_util::StreamExt;
use tokio::runtime::{self, Runtime};
use tokio::time::{Instant, sleep, timeout};

use super::connect::{NatsBucket, NoWords, PATIENCE, failed, unsuitable};
use super::entry::{self, KeyValue, ServerValue, Subject, UserValue};
use super::follow::is_removal;
use crate::authenticator::check_domain;
use crate::certificate::KeyInfo;
use crate::error::{Error, Result};
use crate::keys::PublicKey;
use crate::metadata::Metadata;
use crate::plain::{Password, UserChange};

/// Changes the credentials in a bucket. Each call waits for the answer of the cluster: in a task of a tokio runtime, use
/// `spawn_blocking`.
///
/// What is there can be changed only by who knows its revision: of two who change one entry, the second gets
/// [`Error::Conflict`] and looks again. A removal needs none: it always wins.
///
/// ```no_run
/// # fn main() -> zmq_auth::Result<()> {
/// use zmq_auth::{KeyPair, Metadata, NatsBucket};
///
/// let writer = NatsBucket::new("nats://127.0.0.1:4222", "clients")?.writer()?;
/// let alice = KeyPair::generate()?;
/// writer.add_key("lab", &alice.public, &Metadata::default())?;
/// writer.remove_key("lab", &alice.public)?; // refused at every server that is in contact, a moment later
/// # Ok(())
/// # }
/// ```
pub struct NatsWriter {
    pub(super) runtime: Blocking,
    pub(super) store: Store,
    pub(super) bucket: NatsBucket,
}

/// What a bucket says of a key or a user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BucketEntry {
    /// A key.
    #[non_exhaustive]
    Key {
        /// The key.
        key: PublicKey,
        /// What is known about it.
        metadata: Metadata,
        /// The revision, for [`NatsWriter::replace_key`].
        revision: u64,
    },
    /// A user with a hashed password.
    #[non_exhaustive]
    User {
        /// The user's name.
        name: String,
        /// The hash of the password: whoever has it can try passwords without a server.
        hash: Password,
        /// The revision, for [`NatsWriter::replace_user`].
        revision: u64,
    },
    /// An entry that isn't understood: it accepts nobody.
    #[non_exhaustive]
    Unreadable {
        /// The entry's name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A server that follows a bucket, by its last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowingServer {
    /// The name that it was given.
    pub name: String,
    /// How long ago its heartbeat was written, by the cluster's clock and this machine's.
    pub age: Duration,
    /// The number of the last entry that was in force there when it was written.
    pub sequence: u64,
    /// How many keys it accepts.
    pub keys: usize,
    /// How many users it accepts.
    pub users: usize,
    /// How many keys and users of the domain were changed since, and not again: what it hadn't got yet.
    pub behind: u64,
}

/// How long a removal is tried.
const REMOVING: Duration = Duration::from_secs(10);
/// How long the markers of entries that expire are kept.
const MARKERS: Duration = Duration::from_secs(3600);
pub(super) const WRITE: &str = "write the entry";
pub(super) const LIST: &str = "list the bucket";

impl NatsBucket {
    /// Makes the bucket, with so many replicas of it: 1, 3 or 5.
    ///
    /// # Errors
    /// [`Error::Nats`] where the cluster can't, or has such a bucket with another configuration.
    ///
    /// ```no_run
    /// # fn main() -> zmq_auth::Result<()> {
    /// zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?.create(3)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create(&self, replicas: usize) -> Result<()> {
        let runtime = Blocking::new()?;
        let config = kv::Config {
            bucket: self.bucket.clone(),
            description: "credentials of zmq-auth".into(),
            history: 1,
            num_replicas: replicas,
            limit_markers: Some(MARKERS),
            ..Default::default()
        };
        runtime.wait(async {
            let client = self.connect("zmq-auth", NoWords::new()).await?;
            let created = jetstream::new(client).create_key_value(config).await;
            created.map(drop).map_err(|error| failed("make the bucket", &error))
        })
    }

    /// Connects, to change what is in the bucket.
    ///
    /// # Errors
    /// [`Error::Nats`] where no server can be reached, the login is wrong, or there is no such bucket.
    ///
    /// ```no_run
    /// # fn main() -> zmq_auth::Result<()> {
    /// let writer = zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?.writer()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn writer(&self) -> Result<NatsWriter> {
        let runtime = Blocking::new()?;
        let store = runtime.wait(async {
            let client = self.connect("zmq-auth", NoWords::new()).await?;
            let mut context = jetstream::new(client);
            context.set_timeout(PATIENCE);
            context.get_key_value(&self.bucket).await.map_err(|error| failed("find the bucket", &error))
        })?;
        match unsuitable(&store.stream.cached_info().config) {
            Some(problem) => Err(Error::Nats { action: "use the bucket", problem: problem.into() }),
            None => Ok(NatsWriter { runtime, store, bucket: self.clone() }),
        }
    }
}

impl NatsWriter {
    /// Adds a key that has no entry; answers its revision.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it has one; [`Error::Metadata`], as
    /// [`PushedCredentials::put_key`](crate::PushedCredentials::put_key); [`Error::Domain`]; [`Error::Nats`].
    pub fn add_key(&self, domain: &str, key: &PublicKey, metadata: &Metadata) -> Result<u64> {
        self.create(domain, &Subject::Key(*key), key_value(metadata)?)
    }

    /// Changes what is known about a key.
    ///
    /// # Errors
    /// As [`add_key`](Self::add_key); [`Error::Conflict`] where the entry's revision is another.
    pub fn replace_key(&self, domain: &str, key: &PublicKey, metadata: &Metadata, revision: u64) -> Result<u64> {
        self.update(domain, &Subject::Key(*key), key_value(metadata)?, revision)
    }

    /// Removes a key, whatever its revision is; answers whether it had an entry. When this has returned, the removal can't be
    /// lost any more. It is tried for 10 s.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::Nats`]: the key may be removed or not, so try again.
    pub fn remove_key(&self, domain: &str, key: &PublicKey) -> Result<bool> {
        self.remove(domain, &Subject::Key(*key))
    }

    /// Adds a user who has no entry, with a hashed password: see [`Password::hash`](crate::Password::hash).
    ///
    /// # Errors
    /// [`Error::Conflict`] where there is one; [`Error::PlainCredentials`], as
    /// [`PushedCredentials::put_user`](crate::PushedCredentials::put_user); [`Error::Domain`]; [`Error::Nats`].
    pub fn add_user(&self, domain: &str, name: &str, hash: &str) -> Result<u64> {
        self.create(domain, &Subject::User(name.into()), user_value(name, hash)?)
    }

    /// Changes a user's password.
    ///
    /// # Errors
    /// As [`add_user`](Self::add_user); [`Error::Conflict`] where the entry's revision is another.
    pub fn replace_user(&self, domain: &str, name: &str, hash: &str, revision: u64) -> Result<u64> {
        self.update(domain, &Subject::User(name.into()), user_value(name, hash)?, revision)
    }

    /// Removes a user, as [`remove_key`](Self::remove_key) a key.
    ///
    /// # Errors
    /// As [`remove_key`](Self::remove_key).
    pub fn remove_user(&self, domain: &str, name: &str) -> Result<bool> {
        self.remove(domain, &Subject::User(name.into()))
    }

    /// All entries of a domain, in the order in which they were last changed.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::Nats`].
    pub fn entries(&self, domain: &str) -> Result<Vec<BucketEntry>> {
        check_domain(domain)?;
        let domain = entry::encode(domain.as_bytes());
        let messages = self.read(["curve", "plain"].map(|kind| format!("{kind}.{domain}.>")).into())?;
        Ok(messages.iter().map(|(name, revision, message)| read_entry(name, *revision, &message.payload)).collect())
    }

    /// The servers that follow a domain, or have done so.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::Nats`].
    pub fn servers(&self, domain: &str) -> Result<Vec<FollowingServer>> {
        check_domain(domain)?;
        let messages = self.read(vec![format!("server.{}.>", entry::encode(domain.as_bytes()))])?;
        let now = SystemTime::now();
        let servers = messages.iter().filter_map(|(name, _, message)| {
            let server = entry::decode(name.rsplit('.').next()?)?;
            let value = ServerValue::parse(&message.payload).ok()?;
            let written = SystemTime::from(message.info().ok()?.published);
            Some(FollowingServer {
                name: String::from_utf8(server).ok()?,
                age: now.duration_since(written).unwrap_or_default(),
                sequence: value.sequence,
                keys: value.keys,
                users: value.users,
                behind: 0,
            })
        });
        self.count_behind(domain, servers.collect())
    }

    fn create(&self, domain: &str, subject: &Subject, value: Vec<u8>) -> Result<u64> {
        check_domain(domain)?;
        let name = subject.name(domain);
        self.runtime.wait(async {
            let created = self.store.create(&name, value.into()).await;
            created.map_err(|error| match error.kind() {
                CreateErrorKind::AlreadyExists => Error::Conflict { name: name.clone() },
                _ => failed(WRITE, &error),
            })
        })
    }

    fn update(&self, domain: &str, subject: &Subject, value: Vec<u8>, revision: u64) -> Result<u64> {
        check_domain(domain)?;
        let name = subject.name(domain);
        self.runtime.wait(async {
            let updated = self.store.update(&name, value.into(), revision).await;
            updated.map_err(|error| match error.kind() {
                UpdateErrorKind::WrongLastRevision => Error::Conflict { name: name.clone() },
                _ => failed(WRITE, &error),
            })
        })
    }

    fn remove(&self, domain: &str, subject: &Subject) -> Result<bool> {
        check_domain(domain)?;
        let name = subject.name(domain);
        self.runtime.wait(async {
            let end = Instant::now() + REMOVING;
            loop {
                let removed = async {
                    let entry = self.store.entry(&name).await.map_err(|error| failed(WRITE, &error))?;
                    let was_there = entry.is_some_and(|entry| entry.operation == Operation::Put);
                    // Even where there is none: one that is being written now is removed, too.
                    self.store.delete(&name).await.map_err(|error| failed(WRITE, &error))?;
                    Ok(was_there)
                };
                match removed.await {
                    Err(_) if Instant::now() < end => sleep(Duration::from_millis(100)).await,
                    removed => return removed,
                }
            }
        })
    }

    /// The last entry of each name, with its revision, markers left out.
    fn read(&self, filters: Vec<String>) -> Result<Vec<(String, u64, Message)>> {
        let lost = || Error::Nats { action: LIST, problem: "entries don't come".into() };
        let config = pull::Config {
            deliver_policy: DeliverPolicy::LastPerSubject,
            ack_policy: AckPolicy::None,
            filter_subjects: filters.iter().map(|filter| self.bucket.subject(filter)).collect(),
            inactive_threshold: Duration::from_secs(30),
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let prefix = self.bucket.subject("");
        self.runtime.wait(async {
            let consumer = self.store.stream.create_consumer(config).await.map_err(|error| failed(LIST, &error))?;
            let wanted = consumer.cached_info().num_pending;
            let messages = consumer.stream().max_messages_per_batch(10_000).expires(Duration::from_secs(30));
            let mut messages = messages.heartbeat(PATIENCE).messages().await.map_err(|error| failed(LIST, &error))?;
            let mut entries = Vec::new();
            for _ in 0..wanted {
                let message = timeout(PATIENCE * 2, messages.next()).await.map_err(|_| lost())?.ok_or_else(lost)?;
                let message = message.map_err(|error| failed(LIST, &error))?;
                let revision = message.info().map_err(|_| lost())?.stream_sequence;
                if !is_removal(&message) {
                    let name = message.subject.strip_prefix(prefix.as_str()).unwrap_or(&message.subject).to_owned();
                    entries.push((name, revision, message));
                }
            }
            Ok(entries)
        })
    }
}

pub(super) fn read_entry(name: &str, revision: u64, value: &[u8]) -> BucketEntry {
    let read = Subject::of(name).and_then(|subject| {
        subject.change(value)?;
        Ok(match subject {
            Subject::Key(key) => BucketEntry::Key { key, metadata: KeyValue::parse(value)?, revision },
            Subject::User(name) => BucketEntry::User { name, hash: UserValue::parse(value)?, revision },
        })
    });
    read.unwrap_or_else(|problem| BucketEntry::Unreadable { name: name.to_owned(), problem })
}

fn key_value(metadata: &Metadata) -> Result<Vec<u8>> {
    let info = KeyInfo::of_unread(metadata);
    info.map_err(|(name, problem)| Error::Metadata { name: name.to_owned(), problem })?;
    Ok(entry::to_bytes(&KeyValue::of(metadata)))
}

fn user_value(name: &str, hash: &str) -> Result<Vec<u8>> {
    UserChange::new(name, Some(hash))?;
    Ok(entry::to_bytes(&UserValue::of(hash)))
}

/// A runtime whose work is waited for.
pub(super) struct Blocking(Option<Runtime>);

impl Blocking {
    fn new() -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Ok(Blocking(Some(runtime.map_err(Error::Thread)?)))
    }

    /// In a thread of its own: one that belongs to another runtime may not wait for this one.
    pub(super) fn wait<T: Send>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let Some(runtime) = &self.0 else { return Err(Error::Runtime("the runtime has ended".into())) };
        let waited = thread::scope(|scope| scope.spawn(|| runtime.block_on(work)).join());
        waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Blocking {
    fn drop(&mut self) {
        // Without waiting, which a task of another runtime may not.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for NatsWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsWriter").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
