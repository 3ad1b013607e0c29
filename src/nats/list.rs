//! Lists the entries of a bucket, with everything that its leader has.
//!
//! A consumer runs on one replica, which may be behind. So the leader is asked first for the number of the last entry, and
//! the list is complete only when the consumer has delivered that entry, or a later one.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::kv::Store;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::{Context, Message};
use futures_util::StreamExt;
use tokio::time::timeout;

use super::connect::{CREATE, PATIENCE, failed};
use super::run::{is_removal, nats};
use super::writer::NatsWriter;
use crate::error::Result;

pub(super) const LIST: &str = "list the bucket";
/// How long to wait for the next entry.
const NEXT: Duration = Duration::from_secs(10);
const BEHIND: &str = "a replica doesn't catch up with its leader, so the list would lack entries: try again";

/// An entry's name and revision, and its message.
pub(super) type Listed = (String, u64, Message);

impl NatsWriter {
    /// The last entry of each name with one of these subjects, in the order of writing, without markers.
    pub(super) fn list(&self, subjects: &[String]) -> Result<Vec<Listed>> {
        let prefix = &self.bucket.subject("");
        self.ask_with_consumers(|store, context| async move {
            let last = last_sequence(&store, subjects).await?;
            let (mut entries, mut revisions, mut reached) = (BTreeMap::new(), HashMap::new(), 0);
            if last == 0 {
                return Ok(Vec::new());
            }
            let config = consumer(subjects, DeliverPolicy::LastPerSubject);
            let consumer = create(&context, &store, config).await?;
            let messages = consumer.stream().max_messages_per_batch(10_000).expires(Duration::from_secs(30));
            let mut messages = messages.heartbeat(PATIENCE).messages().await.map_err(|error| failed(LIST, &error))?;
            while reached < last {
                let message = timeout(NEXT, messages.next()).await.map_err(|_| nats(LIST, BEHIND))?;
                let message = message.ok_or_else(|| nats(LIST, "the stream of entries has ended"))?;
                let message = message.map_err(|error| failed(LIST, &error))?;
                let info = message.info().map_err(|_| nats(LIST, "an entry came without its number"))?;
                reached = info.stream_sequence;
                let name = message.subject.strip_prefix(prefix.as_str()).unwrap_or(&message.subject).to_owned();
                // An entry that changes meanwhile arrives again.
                if let Some(before) = revisions.insert(name.clone(), reached) {
                    entries.remove(&before);
                }
                if !is_removal(&message) {
                    entries.insert(reached, (name, reached, message));
                }
            }
            Ok(entries.into_values().collect())
        })
    }
}

/// The number of the last entry with one of these subjects, from the leader; 0 if there is none.
pub(super) async fn last_sequence(store: &Store, subjects: &[String]) -> Result<u64> {
    let mut last = 0;
    for subject in subjects {
        match store.stream.get_last_raw_message_by_subject(subject).await {
            Ok(message) => last = last.max(message.sequence),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {}
            Err(error) => return Err(failed(LIST, &error)),
        }
    }
    Ok(last)
}

pub(super) async fn create(context: &Context, store: &Store, config: pull::Config) -> Result<Consumer<pull::Config>> {
    let consumer = context.create_consumer_on_stream(config, &store.stream_name).await;
    consumer.map_err(|error| failed(CREATE, &error))
}

/// A consumer that is gone soon after the call.
pub(super) fn consumer(subjects: &[String], deliver_policy: DeliverPolicy) -> pull::Config {
    pull::Config {
        deliver_policy,
        ack_policy: AckPolicy::None,
        filter_subjects: subjects.to_vec(),
        inactive_threshold: Duration::from_secs(30),
        memory_storage: true,
        num_replicas: 1,
        ..Default::default()
    }
}
