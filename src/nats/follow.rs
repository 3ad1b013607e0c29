//! The loop of a follower: connects, runs until something fails, and connects again.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use tokio::time::sleep;

use super::blocking::context;
use super::connect::{CREATE, LONGEST_CREATION, NatsBucket, PATIENCE, failed};
use super::entry;
use super::follower::Shared;
use super::position::Position;
use super::run::{FIND, NOT_AGAIN, READ, RESUME, Run, USE, look_at, nats};
use crate::contact::Moment;
use crate::error::{Error, Result};

/// What a follower needs to connect, and where it reports.
pub(super) struct Follow {
    pub(super) bucket: NatsBucket,
    pub(super) domain: String,
    pub(super) server: String,
    pub(super) shared: Arc<Shared>,
}

/// How many entries are requested at once.
const REQUESTED: usize = 10_000;
/// The pause after a failure. It doubles with each failure in a row, up to five times this.
const PAUSE: Duration = Duration::from_millis(200);

impl Follow {
    /// Runs for ever. Every failure is reported and retried with a new connection: another server of the cluster may
    /// answer, and the login may have changed.
    pub(super) async fn run(self) -> Infallible {
        // A server that doesn't answer must be left soon, but a new consumer may take long. So the wait for one begins
        // short, and doubles each time that it was too short.
        let (mut position, mut failures, mut creation) = (None, 0_u32, PATIENCE);
        loop {
            let before = proven(&position);
            let Err(error) = self.connect_and_follow(&mut position, creation).await else {
                // The whole bucket is read again.
                position = None;
                continue;
            };
            self.shared.failed(&error);
            match error {
                Error::Nats { action: USE | RESUME, .. } => position = None,
                Error::Nats { action: CREATE, .. } => creation = (creation * 2).min(LONGEST_CREATION),
                _ => {}
            }
            failures = if proven(&position) == before { failures + 1 } else { 0 };
            // Jitter, so that a thousand servers don't reconnect at the same moment.
            let mut random = [128];
            let _ = getrandom::fill(&mut random);
            let pause = PAUSE.saturating_mul(1 << failures.min(10)).min(PAUSE * 5);
            sleep(pause.mul_f64(0.5 + f64::from(random[0]) / 255.0)).await;
        }
    }

    async fn connect_and_follow(&self, position: &mut Option<Position>, creation: Duration) -> Result<()> {
        let server = entry::encode(self.server.as_bytes());
        let (name, inbox) = (format!("zmq-auth {server}"), format!("_INBOX_{server}"));
        let client = self.bucket.connect(&name, &inbox, self.shared.clone()).await?;
        self.follow(&client, name, position, creation).await
    }

    async fn follow(
        &self,
        client: &Client,
        description: String,
        position: &mut Option<Position>,
        creation: Duration,
    ) -> Result<()> {
        let name = self.bucket.stream();
        let stream = context(client, PATIENCE).get_stream(&name).await.map_err(|error| failed(FIND, &error))?;
        let state = look_at(stream.cached_info())?;
        *position = position.take().filter(|position| position.may_resume(&state));
        let deliver_policy = match position {
            Some(position) => DeliverPolicy::ByStartSequence { start_sequence: position.beat_sequence },
            None => DeliverPolicy::LastPerSubject,
        };
        let domain = entry::encode(self.domain.as_bytes());
        let own = self.bucket.subject(&entry::server_name(&self.domain, &self.server));
        let wanted = ["curve", "plain"].map(|kind| self.bucket.subject(&format!("{kind}.{domain}.>")));
        let config = pull::Config {
            description: Some(description),
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subjects: wanted.into_iter().chain([format!("{own}.*")]).collect(),
            inactive_threshold: Duration::from_secs(30),
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let consumer = context(client, creation).create_consumer_on_stream(config, &name).await;
        let consumer = consumer.map_err(|error| failed(CREATE, &error))?;
        // If the bucket was created again since `state`, the consumer may belong to the new one.
        let again = stream.get_info().await.map_err(|error| failed(FIND, &error))?;
        if look_at(&again)?.created != state.created {
            return Err(nats(FIND, "it was recreated just now"));
        }
        if position.is_some() && consumer.cached_info().num_pending == 0 {
            return Err(nats(RESUME, NOT_AGAIN));
        }
        let messages = consumer.stream().max_messages_per_batch(REQUESTED).expires(Duration::from_secs(30));
        let messages = messages.heartbeat(PATIENCE).messages().await.map_err(|error| failed(READ, &error))?;
        self.shared.begins(position.is_none());
        let consumer = consumer.cached_info().name.clone();
        Run::new(self, context(client, PATIENCE), consumer, own, state.created, position)?.follow(messages).await
    }
}

fn proven(position: &Option<Position>) -> Option<Moment> {
    position.as_ref().map(|position| position.proven)
}
