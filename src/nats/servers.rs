//! The servers that follow a bucket, as their heartbeats tell.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::kv::{Operation, Store};
use futures_util::StreamExt;

use super::connect::failed;
use super::entry::{self, ServerValue};
use super::list::{LIST, consumer, create, last_sequence};
use super::writer::{NatsWriter, WRITE};
use crate::authenticator::check_domain;
use crate::error::Result;

/// A server that follows a bucket, as of its last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FollowingServer {
    /// The server's name.
    pub name: String,
    /// The time since its heartbeat: this machine's clock minus the cluster's timestamp. A heartbeat proves nothing by
    /// itself; see `contact`.
    pub age: Duration,
    /// The time since the server last proved its contact with this bucket. `None` if it hasn't done so yet, if its
    /// heartbeat is that of another version, or if it names an entry that didn't exist then.
    pub contact: Option<Duration>,
    /// The number of the last entry that it had applied; 0 without `contact`.
    pub sequence: u64,
    /// How many keys it accepts.
    pub keys: usize,
    /// How many users it accepts.
    pub users: usize,
    /// How many keys and users of the domain have changed since: what it hadn't received then.
    pub behind: u64,
}

impl FollowingServer {
    /// The server of a heartbeat with this revision and value.
    fn of(name: String, age: Duration, revision: u64, value: &[u8]) -> Self {
        let none = FollowingServer { name, age, contact: None, sequence: 0, keys: 0, users: 0, behind: 0 };
        match ServerValue::parse(value) {
            // A server can have applied only what was there before it wrote this.
            Ok(ServerValue { sequence: sequence @ 1.., proven: Some(proven), keys, users, .. })
                if sequence < revision =>
            {
                let contact = Some(age.saturating_add(Duration::from_millis(proven)));
                FollowingServer { contact, sequence, keys, users, ..none }
            }
            _ => none,
        }
    }
}

impl NatsWriter {
    /// The servers that follow a domain or did so once, by name.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain); [`Error::Nats`](crate::Error::Nats), also if the replica that answers
    /// doesn't catch up with the leader.
    ///
    /// ```no_run
    /// # fn main() -> zmq_auth::Result<()> {
    /// use std::time::Duration;
    ///
    /// let writer = zmq_auth::NatsBucket::new("nats://127.0.0.1:4222", "clients")?.writer()?;
    /// for server in writer.servers("lab")? {
    ///     let is_in_contact = server.contact.is_some_and(|contact| contact < Duration::from_secs(10));
    ///     println!("{}: {}", server.name, if is_in_contact { "in contact" } else { "without contact" });
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn servers(&self, domain: &str) -> Result<Vec<FollowingServer>> {
        check_domain(domain)?;
        let encoded = entry::encode(domain.as_bytes());
        let messages = self.list(&[self.bucket.subject(&format!("server.{encoded}.>"))])?;
        let now = SystemTime::now();
        // In the order of writing, so the later of a server's two heartbeats replaces the earlier.
        let mut servers = BTreeMap::new();
        for (name, revision, message) in &messages {
            let server = name.split('.').nth(2).and_then(entry::decode).and_then(|name| String::from_utf8(name).ok());
            let (Some(server), Ok(info)) = (server, message.info()) else { continue };
            let age = now.duration_since(SystemTime::from(info.published)).unwrap_or_default();
            servers.insert(server.clone(), FollowingServer::of(server, age, *revision, &message.payload));
        }
        let subjects = ["curve", "plain"].map(|kind| self.bucket.subject(&format!("{kind}.{encoded}.>")));
        self.count_behind(&subjects, &servers.into_values().collect::<Vec<_>>())
    }

    /// Removes the heartbeats of a server that is gone for good, and returns whether there were any. A server that
    /// still follows writes its next one.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain); [`Error::Nats`](crate::Error::Nats).
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

    /// Fills in `behind`. Servers between the same two entries are equally far behind, and are counted at once.
    fn count_behind(&self, subjects: &[String], servers: &[FollowingServer]) -> Result<Vec<FollowingServer>> {
        self.ask_with_consumers(|store, context| async move {
            let mut servers = servers.to_vec();
            let last = last_sequence(&store, subjects).await?;
            let mut behind: Vec<&mut FollowingServer> =
                servers.iter_mut().filter(|server| server.sequence < last).collect();
            behind.sort_by_key(|server| server.sequence);
            // The number of the next entry, and how many there are from it on.
            let mut counted = (0, 0);
            for server in behind {
                if server.sequence >= counted.0 {
                    counted = next_entry(&context, &store, subjects, server.sequence).await?;
                }
                // The replica that counts may not have the last entry yet.
                server.behind = counted.1.max(1);
            }
            Ok(servers)
        })
    }
}

/// The number of the first entry after this one, and how many there are from it on.
async fn next_entry(context: &Context, store: &Store, subjects: &[String], sequence: u64) -> Result<(u64, u64)> {
    let config = consumer(subjects, DeliverPolicy::ByStartSequence { start_sequence: sequence + 1 });
    let consumer = create(context, store, config).await?;
    let count = consumer.cached_info().num_pending;
    let first = consumer.fetch().max_messages(1).messages().await.map_err(|error| failed(LIST, &error))?.next().await;
    let number = first.and_then(|message| message.ok()?.info().ok().map(|info| info.stream_sequence));
    Ok((number.unwrap_or(sequence + 1), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_without_proof_or_with_an_impossible_position_is_no_contact() {
        let second = Duration::from_secs(1);
        let of = |revision, value: &[u8]| FollowingServer::of("server-1".into(), second, revision, value);
        let value = entry::to_bytes(&ServerValue::new("a.1".into(), Some((7, second)), 2, 1));
        let server = of(8, &value);
        assert_eq!((server.contact, server.sequence, server.keys, server.users), (Some(2 * second), 7, 2, 1));
        let before_the_first = entry::to_bytes(&ServerValue::new("a.1".into(), None, 2, 1));
        let zero = entry::to_bytes(&ServerValue::new("a.1".into(), Some((0, second)), 2, 1));
        let unproven = br#"{"format":2,"beat":"a.1","sequence":7,"keys":2,"users":1}"#;
        let old = br#"{"format":1,"beat":"a.1","sequence":7,"keys":2,"users":1}"#;
        let unknown = String::from_utf8(value.clone()).unwrap().replace("\"format\":2", "\"format\":3");
        let bad: [(u64, &[u8]); 7] = [
            (7, &value),
            (8, &before_the_first),
            (8, &zero),
            (8, unproven),
            (8, old),
            (8, unknown.as_bytes()),
            (8, b""),
        ];
        for (revision, value) in bad {
            let server = of(revision, value);
            let shown = String::from_utf8_lossy(value);
            assert_eq!((server.contact, server.sequence, server.age), (None, 0, second), "{revision}: {shown}");
        }
    }
}
