//! Administrators' queries: the last change of a key or user, and the progress of the servers that follow a bucket.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::kv::{Operation, Store};

use super::connect::failed;
use super::entry::{self, Subject};
use super::writer::{BucketEntry, FollowingServer, LIST, NatsWriter, WRITE, read_entry};
use crate::authenticator::check_domain;
use crate::error::Result;
use crate::keys::PublicKey;

/// The last change of a key or a user, from [`NatsWriter::last_change_of_key`] and
/// [`last_change_of_user`](NatsWriter::last_change_of_user).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastChange {
    /// The revision, for [`NatsWriter::replace_key`] and [`replace_user`](NatsWriter::replace_user), which write only
    /// if nothing else was written since. For a key or user that was never written, pass 0.
    pub revision: u64,
    /// When it was written, by the cluster's clock.
    pub written: SystemTime,
    /// The entry; `None` if the key or the user was removed.
    pub entry: Option<BucketEntry>,
}

impl NatsWriter {
    /// The last change of a key; `None` if it was never written, or if no marker of its removal is left.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain); [`Error::Nats`](crate::Error::Nats).
    ///
    /// ```no_run
    /// # fn main() -> zmq_auth::Result<()> {
    /// use zmq_auth::{KeyPair, Metadata, NatsBucket};
    ///
    /// let writer = NatsBucket::new("nats://127.0.0.1:4222", "clients")?.writer()?;
    /// let alice = KeyPair::generate()?.public;
    /// let seen = writer.last_change_of_key("lab", &alice)?;
    /// if seen.as_ref().is_some_and(|seen| seen.entry.is_none()) {
    ///     println!("was removed by somebody"); // `add_key` would bring it back
    /// } else {
    ///     // Written only if nobody else was faster.
    ///     writer.replace_key("lab", &alice, &Metadata::default(), seen.map_or(0, |seen| seen.revision))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn last_change_of_key(&self, domain: &str, key: &PublicKey) -> Result<Option<LastChange>> {
        self.last_change(domain, &Subject::Key(*key))
    }

    /// The last change of a user, as [`last_change_of_key`](Self::last_change_of_key) for a key.
    ///
    /// # Errors
    /// As [`last_change_of_key`](Self::last_change_of_key).
    pub fn last_change_of_user(&self, domain: &str, name: &str) -> Result<Option<LastChange>> {
        self.last_change(domain, &Subject::User(name.into()))
    }

    /// Removes the heartbeats of a server that is gone for good, and returns whether there were any. A server that
    /// still follows writes its next one.
    ///
    /// # Errors
    /// As [`last_change_of_key`](Self::last_change_of_key).
    pub fn forget_server(&self, domain: &str, server: &str) -> Result<bool> {
        check_domain(domain)?;
        let name = entry::server_name(domain, server);
        self.ask(|store| async move {
            let mut was_there = false;
            for slot in 0..2 {
                let name = format!("{name}.{slot}");
                let entry = store.entry(&name).await.map_err(|error| failed(WRITE, &error))?;
                if entry.is_some_and(|entry| entry.operation == Operation::Put) {
                    was_there = true;
                    store.delete(&name).await.map_err(|error| failed(WRITE, &error))?;
                }
            }
            Ok(was_there)
        })
    }

    fn last_change(&self, domain: &str, subject: &Subject) -> Result<Option<LastChange>> {
        check_domain(domain)?;
        let name = &subject.name(domain);
        let look =
            |store: Store| async move { store.entry(name).await.map_err(|error| failed("read the entry", &error)) };
        let entry = self.ask(look)?;
        Ok(entry.map(|entry| LastChange {
            revision: entry.revision,
            written: entry.created.into(),
            entry: (entry.operation == Operation::Put).then(|| read_entry(name, entry.revision, &entry.value)),
        }))
    }

    /// Fills in `behind`: a consumer that starts after a server's last entry reports how many are pending.
    pub(super) fn count_behind(&self, domain: &str, mut servers: Vec<FollowingServer>) -> Result<Vec<FollowingServer>> {
        let domain = entry::encode(domain.as_bytes());
        let filters = &["curve", "plain"].map(|kind| self.bucket.subject(&format!("{kind}.{domain}.>")));
        let mut counted: BTreeMap<u64, u64> = servers.iter().map(|server| (server.sequence, 0)).collect();
        let counted = self.ask(|store| async move {
            for (sequence, behind) in &mut counted {
                let config = pull::Config {
                    deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: sequence + 1 },
                    ack_policy: AckPolicy::None,
                    filter_subjects: filters.to_vec(),
                    inactive_threshold: Duration::from_secs(5),
                    memory_storage: true,
                    num_replicas: 1,
                    ..Default::default()
                };
                let consumer = store.stream.create_consumer(config).await.map_err(|error| failed(LIST, &error))?;
                *behind = consumer.cached_info().num_pending;
            }
            Ok(counted)
        })?;
        for server in &mut servers {
            server.behind = counted.get(&server.sequence).copied().unwrap_or_default();
        }
        Ok(servers)
    }
}
