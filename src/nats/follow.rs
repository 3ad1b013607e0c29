//! The way of a follower: it connects, takes a snapshot or what has changed since, and begins anew when something goes wrong.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use tokio::time::sleep;

use super::connect::{NatsBucket, PATIENCE, failed};
use super::entry;
use super::follower::Shared;
use super::position::Position;
use super::run::{FIND, READ, RESUME, Run, USE, look_at, nats};
use crate::contact::Moment;
use crate::error::{Error, Result};

/// What a follower is made of.
pub(super) struct Follow {
    pub(super) bucket: NatsBucket,
    pub(super) domain: String,
    pub(super) server: String,
    pub(super) shared: Arc<Shared>,
}

/// So many entries are asked for at once.
const REQUESTED: usize = 10_000;
/// The pause after a failure; the next are longer, up to five times.
const PAUSE: Duration = Duration::from_millis(200);

impl Follow {
    /// For ever: whatever goes wrong is told, and tried again with a new connection. Perhaps it was this one server of the
    /// cluster that doesn't answer; and the login may have been changed.
    pub(super) async fn run(self) -> Infallible {
        let (mut position, mut failures) = (None, 0_u32);
        loop {
            let before = proven(&position);
            let Err(error) = self.connect_and_follow(&mut position).await;
            self.shared.failed(&error);
            if matches!(error, Error::Nats { action: USE | RESUME, .. }) {
                position = None;
            }
            failures = if proven(&position) == before { failures + 1 } else { 0 };
            // Not at the same moment as a thousand others.
            let mut random = [128];
            let _ = getrandom::fill(&mut random);
            let pause = PAUSE.saturating_mul(1 << failures.min(10)).min(PAUSE * 5);
            sleep(pause.mul_f64(0.5 + f64::from(random[0]) / 255.0)).await;
        }
    }

    async fn connect_and_follow(&self, position: &mut Option<Position>) -> Result<Infallible> {
        let server = entry::encode(self.server.as_bytes());
        let (name, inbox) = (format!("zmq-auth {server}"), format!("_INBOX_{server}"));
        let client = self.bucket.connect(&name, &inbox, self.shared.clone()).await?;
        self.follow(&client, name, position).await
    }

    /// Follows until something goes wrong.
    async fn follow(
        &self,
        client: &Client,
        description: String,
        position: &mut Option<Position>,
    ) -> Result<Infallible> {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(PATIENCE);
        let stream = context.get_stream(self.bucket.stream()).await.map_err(|error| failed(FIND, &error))?;
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
        let consumer = stream.create_consumer(config).await.map_err(|error| failed(READ, &error))?;
        // Between the two looks, the bucket may have been made anew: then the consumer is one of the new bucket.
        let again = stream.get_info().await.map_err(|error| failed(FIND, &error))?;
        if look_at(&again)?.created != state.created {
            return Err(nats(FIND, "it was made anew just now"));
        }
        let messages = consumer.stream().max_messages_per_batch(REQUESTED).expires(Duration::from_secs(30));
        let messages = messages.heartbeat(PATIENCE).messages().await.map_err(|error| failed(READ, &error))?;
        self.shared.begins(position.is_none());
        let consumer = consumer.cached_info().name.clone();
        Run::new(self, context, consumer, own, state.created, position)?.follow(messages).await
    }
}

fn proven(position: &Option<Position>) -> Option<Moment> {
    position.as_ref().map(|position| position.proven)
}
