//! The writer that changes a bucket, for administrators and programs that manage credentials.

use std::fmt;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use async_nats::jetstream::Context;
use async_nats::jetstream::kv::{CreateErrorKind, Operation, Store, UpdateErrorKind};

use super::blocking::{Blocking, Connection, INBOX, context};
use super::connect::{CREATE, LONGEST_CREATION, NatsBucket, NoWords, PATIENCE, failed, stream_config};
use super::entry::{self, KeyValue, LARGEST, Subject, UserValue};
use crate::authenticator::check_domain;
use crate::certificate::KeyInfo;
use crate::error::{Error, Result};
use crate::keys::PublicKey;
use crate::metadata::Metadata;
use crate::plain::{Password, UserChange};
use crate::reload::lock;

/// Changes the credentials in a bucket. Each call waits for the cluster's answer (in a tokio task, use
/// `spawn_blocking`), and calls from several threads wait for each other. Nothing is queued to be written later:
/// without a connection, a call returns [`Error::Nats`], and the next one connects again. If the answer to a write is
/// lost, the write may have been made.
///
/// Changing an existing entry requires its revision: if two administrators change the same entry, the second gets
/// [`Error::Conflict`] and must look again. A removal doesn't need a revision: it always wins.
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
    pub(super) bucket: NatsBucket,
    connection: Mutex<Option<Connection>>,
}

/// A bucket's entry for a key or a user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BucketEntry {
    /// A key.
    #[non_exhaustive]
    Key {
        /// The key.
        key: PublicKey,
        /// Its metadata.
        metadata: Metadata,
        /// The revision, for [`NatsWriter::replace_key`].
        revision: u64,
    },
    /// A user with a hashed password.
    #[non_exhaustive]
    User {
        /// The user's name.
        name: String,
        /// The hash of the password. Keep it secret: whoever has it can guess passwords offline.
        hash: Password,
        /// The revision, for [`NatsWriter::replace_user`].
        revision: u64,
    },
    /// An entry that can't be understood: it accepts nobody.
    #[non_exhaustive]
    Unreadable {
        /// The entry's name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// How long a removal is retried.
const REMOVING: Duration = Duration::from_secs(10);
pub(super) const WRITE: &str = "write the entry";

impl NatsBucket {
    /// Creates the bucket with this number of replicas: 1, 3 or 5. Unlike buckets that NATS's own tools create, it
    /// can't be emptied, and a removed entry leaves a marker that stays. If the same bucket exists already, nothing
    /// changes.
    ///
    /// # Errors
    /// [`Error::Nats`] if the cluster can't create it, or has a bucket of that name with another configuration.
    ///
    /// ```no_run
    /// # fn main() -> zmq_auth::Result<()> {
    /// zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?.create(3)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn create(&self, replicas: usize) -> Result<()> {
        let config = stream_config(self.stream(), self.subject(">"), replicas);
        Blocking::new()?.wait(async {
            let client = self.connect("zmq-auth", INBOX, NoWords::new()).await?;
            let created = context(&client, PATIENCE).create_stream(config).await;
            created.map(drop).map_err(|error| failed("make the bucket", &error))
        })
    }

    /// Connects, to change the bucket's entries.
    ///
    /// # Errors
    /// [`Error::Nats`] if no server can be reached, the login is wrong, or there is no such bucket.
    ///
    /// ```no_run
    /// # fn main() -> zmq_auth::Result<()> {
    /// let writer = zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?.writer()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn writer(&self) -> Result<NatsWriter> {
        Ok(NatsWriter { bucket: self.clone(), connection: Mutex::new(Some(Connection::to(self)?)) })
    }
}

impl NatsWriter {
    /// Adds a key that has no entry, and returns the entry's revision.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it has one; [`Error::Metadata`], as
    /// [`PushedCredentials::put_key`](crate::PushedCredentials::put_key), and for metadata that takes more than 64,000
    /// bytes in the bucket; [`Error::Domain`]; [`Error::Nats`].
    pub fn add_key(&self, domain: &str, key: &PublicKey, metadata: &Metadata) -> Result<u64> {
        self.create(domain, &Subject::Key(*key), key_value(metadata)?)
    }

    /// Changes a key's metadata.
    ///
    /// # Errors
    /// As [`add_key`](Self::add_key); [`Error::Conflict`] if the entry has another revision.
    pub fn replace_key(&self, domain: &str, key: &PublicKey, metadata: &Metadata, revision: u64) -> Result<u64> {
        self.update(domain, &Subject::Key(*key), key_value(metadata)?, revision)
    }

    /// Removes a key, whatever its revision, and returns whether it had an entry. Failures are retried for 10 s. Once
    /// this has returned `Ok`, the removal can't be lost any more.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::Nats`]: the key may or may not be removed, so try again.
    pub fn remove_key(&self, domain: &str, key: &PublicKey) -> Result<bool> {
        self.remove(domain, &Subject::Key(*key))
    }

    /// Adds a user who has no entry, with a hashed password: see [`Password::hash`](crate::Password::hash).
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one; [`Error::PlainCredentials`], as
    /// [`PushedCredentials::put_user`](crate::PushedCredentials::put_user); [`Error::Domain`]; [`Error::Nats`].
    pub fn add_user(&self, domain: &str, name: &str, hash: &str) -> Result<u64> {
        self.create(domain, &Subject::User(name.into()), user_value(name, hash)?)
    }

    /// Changes a user's password.
    ///
    /// # Errors
    /// As [`add_user`](Self::add_user); [`Error::Conflict`] if the entry has another revision.
    pub fn replace_user(&self, domain: &str, name: &str, hash: &str, revision: u64) -> Result<u64> {
        self.update(domain, &Subject::User(name.into()), user_value(name, hash)?, revision)
    }

    /// Removes a user, as [`remove_key`](Self::remove_key) does a key.
    ///
    /// # Errors
    /// As [`remove_key`](Self::remove_key).
    pub fn remove_user(&self, domain: &str, name: &str) -> Result<bool> {
        self.remove(domain, &Subject::User(name.into()))
    }

    /// All entries of a domain, in the order of their last change, with everything that was acknowledged before the call.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::Nats`], also if the replica that answers doesn't catch up with the leader.
    pub fn entries(&self, domain: &str) -> Result<Vec<BucketEntry>> {
        check_domain(domain)?;
        let domain = entry::encode(domain.as_bytes());
        let messages = self.list(&["curve", "plain"].map(|kind| self.bucket.subject(&format!("{kind}.{domain}.>"))))?;
        Ok(messages.iter().map(|(name, revision, message)| read_entry(name, *revision, &message.payload)).collect())
    }

    fn create(&self, domain: &str, subject: &Subject, value: Vec<u8>) -> Result<u64> {
        check_domain(domain)?;
        let name = &subject.name(domain);
        self.ask(|store| async move {
            let created = store.create(name, value.into()).await;
            created.map_err(|error| match error.kind() {
                CreateErrorKind::AlreadyExists => Error::Conflict { name: name.clone() },
                _ => failed(WRITE, &error),
            })
        })
    }

    fn update(&self, domain: &str, subject: &Subject, value: Vec<u8>, revision: u64) -> Result<u64> {
        check_domain(domain)?;
        let name = &subject.name(domain);
        self.ask(|store| async move {
            let updated = store.update(name, value.into(), revision).await;
            updated.map_err(|error| match error.kind() {
                UpdateErrorKind::WrongLastRevision => Error::Conflict { name: name.clone() },
                _ => failed(WRITE, &error),
            })
        })
    }

    fn remove(&self, domain: &str, subject: &Subject) -> Result<bool> {
        check_domain(domain)?;
        let name = &subject.name(domain);
        let (end, mut was_there) = (Instant::now() + REMOVING, false);
        loop {
            let was_there_before = &mut was_there;
            let removed = self.ask(|store| async move {
                let entry = store.entry(name).await.map_err(|error| failed(WRITE, &error))?;
                // `|=`: a previous attempt without an answer may have removed it.
                *was_there_before |= entry.is_some_and(|entry| entry.operation == Operation::Put);
                // Even if there is no entry: one that is being written right now is removed, too.
                store.delete(name).await.map_err(|error| failed(WRITE, &error))
            });
            match removed {
                Err(_) if Instant::now() < end => thread::sleep(Duration::from_millis(100)),
                removed => return removed.map(|()| was_there),
            }
        }
    }

    /// Runs the work on the connection.
    pub(super) fn ask<T: Send, W: Future<Output = Result<T>> + Send>(
        &self,
        work: impl FnOnce(Store) -> W,
    ) -> Result<T> {
        self.on_connection(|connection| connection.wait(work(connection.store.clone())))
    }

    /// As `ask`, with a context in which consumers are created. If that takes too long, starts again and waits longer: a
    /// server that doesn't answer must be left soon, but with a million entries it may need seconds.
    pub(super) fn ask_with_consumers<T: Send, W: Future<Output = Result<T>> + Send>(
        &self,
        work: impl Fn(Store, Context) -> W + Sync,
    ) -> Result<T> {
        let mut patience = PATIENCE;
        loop {
            let answer = self.on_connection(|connection| {
                connection.wait(async { work(connection.store.clone(), context(&connection.client, patience)).await })
            });
            match answer {
                Err(Error::Nats { action: CREATE, .. }) if patience < LONGEST_CREATION => {
                    patience = (patience * 2).min(LONGEST_CREATION);
                }
                answer => return answer,
            }
        }
    }

    /// Uses the connection. If NATS fails, drops it, and with it whatever its client has queued.
    fn on_connection<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut held = lock(&self.connection);
        let connection = match held.take().filter(Connection::is_connected) {
            Some(connection) => connection,
            None => Connection::to(&self.bucket)?,
        };
        let answer = work(&connection);
        if !matches!(answer, Err(Error::Nats { .. })) {
            *held = Some(connection);
        }
        answer
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
    let value = entry::to_bytes(&KeyValue::of(metadata));
    match metadata.iter().max_by_key(|(_, value)| value.len()) {
        Some((name, _)) if value.len() > LARGEST => {
            Err(Error::Metadata { name: name.to_owned(), problem: "too large for a bucket: 64,000 bytes in all" })
        }
        _ => Ok(value),
    }
}

fn user_value(name: &str, hash: &str) -> Result<Vec<u8>> {
    UserChange::new(name, Some(hash))?;
    Ok(entry::to_bytes(&UserValue::of(hash)))
}

impl fmt::Debug for NatsWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsWriter").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}
