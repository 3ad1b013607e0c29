//! The way of a follower: a snapshot or the changes since, then each change, with a heartbeat that proves the contact.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::consumer::pull::{self, MessagesError};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{self, Context, Message};
use data_encoding::HEXLOWER;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::connect::{NatsBucket, PATIENCE, failed, unsuitable};
use super::entry::{self, Change, ServerValue, Subject};
use super::follower::Shared;
use super::position::{LONGEST_ABSENCE, Position, StreamState};
use crate::contact::Moment;
use crate::curve::{KeyChange, KeyMap};
use crate::error::{Error, Result};
use crate::plain::UserChange;

/// What a follower is made of.
pub(super) struct Follow {
    pub(super) bucket: NatsBucket,
    pub(super) domain: String,
    pub(super) server: String,
    pub(super) shared: Arc<Shared>,
}

/// So many entries are put in force at once, at most.
const BATCH: usize = 1_000;
/// So many entries are asked for at once.
const REQUESTED: usize = 10_000;
/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(200);

/// One run of following, from the creation of a consumer to the first thing that goes wrong.
struct Run<'f> {
    follow: &'f Follow,
    created: i128,
    /// `None` while a snapshot is gathered: it is put in force as a whole.
    position: &'f mut Option<Position>,
    snapshot: KeyMap,
    key_changes: Vec<KeyChange>,
    user_changes: Vec<UserChange>,
    /// The last entry that came.
    sequence: u64,
    /// The entries of a consumer are counted: one that is missing shows.
    consumed: u64,
    beat: Option<Beat>,
    beats: u64,
    id: String,
}

/// A heartbeat under way.
struct Beat {
    text: String,
    asked: Moment,
    /// Until when something has to come.
    deadline: Instant,
    /// Where the stream has put it, once that is acknowledged: by a quorum, in a cluster.
    acknowledged: Option<u64>,
    /// Where it came back.
    seen: Option<u64>,
    /// Where another's came under the same name: a bucket has the last of each name alone.
    others: Option<u64>,
}

type Acknowledgement<'a> = Pin<Box<dyn Future<Output = Result<u64>> + Send + 'a>>;

impl Follow {
    /// For ever: whatever goes wrong is told, and tried again.
    pub(super) async fn run(self) -> Infallible {
        let client = loop {
            match self.bucket.connect(&format!("zmq-auth {}", self.server), self.shared.clone()).await {
                Ok(client) => break client,
                Err(error) => self.shared.failed(&error),
            }
            sleep(PAUSE).await;
        };
        let mut position = None;
        loop {
            let Err(error) = self.follow(&client, &mut position).await;
            self.shared.failed(&error);
            // Perhaps it is this one server of the cluster that doesn't answer: the next one may.
            if matches!(error, Error::Nats { action: PROVE | FIND | READ, .. }) {
                let _ = client.force_reconnect().await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Follows until something goes wrong.
    async fn follow(&self, client: &Client, position: &mut Option<Position>) -> Result<Infallible> {
        let mut context = jetstream::new(client.clone());
        context.set_timeout(PATIENCE);
        let stream = context.get_stream(self.bucket.stream()).await.map_err(|error| failed(FIND, &error))?;
        let state = look_at(stream.cached_info())?;
        *position = position.take().filter(|position| position.may_resume(&state));
        let deliver_policy = match position {
            Some(position) => DeliverPolicy::ByStartSequence { start_sequence: position.sequence + 1 },
            None => DeliverPolicy::LastPerSubject,
        };
        let domain = entry::encode(self.domain.as_bytes());
        let own = self.bucket.subject(&entry::server_name(&self.domain, &self.server));
        let wanted = ["curve", "plain"].map(|kind| self.bucket.subject(&format!("{kind}.{domain}.>")));
        let config = pull::Config {
            description: Some(format!("zmq-auth {}", entry::encode(self.server.as_bytes()))),
            deliver_policy,
            ack_policy: AckPolicy::None,
            filter_subjects: wanted.into_iter().chain([own.clone()]).collect(),
            inactive_threshold: Duration::from_secs(30),
            memory_storage: true,
            num_replicas: 1,
            ..Default::default()
        };
        let consumer = stream.create_consumer(config).await.map_err(|error| failed(READ, &error))?;
        // Between the two looks, the bucket may have been made anew: then the consumer is one of the new bucket.
        let again = stream.get_info().await.map_err(|error| failed(FIND, &error))?;
        if look_at(&again)?.created != state.created {
            return Err(Error::Nats { action: FIND, problem: "it was made anew just now".into() });
        }
        let messages = consumer.stream().max_messages_per_batch(REQUESTED).expires(Duration::from_secs(30));
        let messages = messages.heartbeat(PATIENCE).messages().await.map_err(|error| failed(READ, &error))?;
        self.shared.begins(position.is_none());
        let mut run = Run {
            follow: self,
            created: state.created,
            sequence: position.as_ref().map_or(0, |position| position.sequence),
            position,
            snapshot: KeyMap::default(),
            key_changes: Vec::new(),
            user_changes: Vec::new(),
            consumed: 0,
            beat: None,
            beats: 0,
            id: run_id()?,
        };
        run.follow(&context, &own, messages).await
    }
}

impl Run<'_> {
    async fn follow(&mut self, context: &Context, own: &str, mut messages: pull::Stream) -> Result<Infallible> {
        let mut next_beat = interval(self.follow.bucket.heartbeat);
        next_beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut acknowledgement: Option<Acknowledgement<'_>> = None;
        loop {
            let deadline = self.beat.as_ref().map(|beat| beat.deadline);
            tokio::select! {
                message = messages.next() => {
                    self.take(own, message)?;
                    // What has come meanwhile is put in force with it.
                    let mut batch = 1;
                    while batch < BATCH && let Some(message) = messages.next().now_or_never() {
                        self.take(own, message)?;
                        batch += 1;
                    }
                    self.put_in_force();
                    if let Some(beat) = &mut self.beat {
                        beat.deadline = Instant::now() + PATIENCE;
                    }
                    self.prove()?;
                }
                _ = next_beat.tick(), if self.beat.is_none() => {
                    let (beat, value) = self.beat();
                    self.beat = Some(beat);
                    acknowledgement = Some(Box::pin(write(context, own, value)));
                }
                sequence = wait(&mut acknowledgement) => {
                    acknowledgement = None;
                    if let Some(beat) = &mut self.beat {
                        beat.acknowledged = Some(sequence?);
                    }
                    self.prove()?;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let problem = "a heartbeat was not seen again".into();
                    return Err(Error::Nats { action: PROVE, problem });
                }
            }
        }
    }

    fn beat(&mut self) -> (Beat, Vec<u8>) {
        self.beats += 1;
        let text = format!("{}.{}", self.id, self.beats);
        let status = self.follow.shared.credentials.status();
        let sequence = self.position.as_ref().map_or(0, |position| position.sequence);
        let value = ServerValue::new(text.clone(), sequence, status.keys, status.users);
        let (asked, deadline) = (Moment::now(), Instant::now() + PATIENCE);
        (Beat { text, asked, deadline, acknowledged: None, seen: None, others: None }, entry::to_bytes(&value))
    }

    fn take(&mut self, own: &str, message: Option<Result<Message, MessagesError>>) -> Result<()> {
        let lost = |problem: &str| Error::Nats { action: READ, problem: problem.into() };
        let message = message.ok_or_else(|| lost("the stream of entries has ended"))?;
        let message = message.map_err(|error| failed(READ, &error))?;
        let info = message.info().map_err(|_| lost("an entry came without its number"))?;
        if info.consumer_sequence != self.consumed + 1 || info.stream_sequence <= self.sequence {
            return Err(lost("entries were lost on the way"));
        }
        (self.consumed, self.sequence) = (info.consumer_sequence, info.stream_sequence);
        if message.subject.as_str() == own {
            let value = ServerValue::parse(&message.payload).ok();
            if let Some(beat) = &mut self.beat {
                let is_ours = value.is_some_and(|value| value.beat == beat.text);
                *if is_ours { &mut beat.seen } else { &mut beat.others } = Some(self.sequence);
            }
            return Ok(());
        }
        let prefix = self.follow.bucket.subject("");
        let name = message.subject.strip_prefix(prefix.as_str()).unwrap_or(&message.subject);
        match Subject::of(name) {
            Ok(subject) => {
                let change =
                    if is_removal(&message) { Ok(subject.removal()) } else { subject.change(&message.payload) };
                self.follow.shared.entry(name, change.as_ref().err().copied());
                self.gather(change.unwrap_or_else(|_| subject.removal()));
            }
            Err(problem) => self.follow.shared.entry(name, (!is_removal(&message)).then_some(problem)),
        }
        Ok(())
    }

    fn gather(&mut self, change: Change) {
        match change {
            Change::User(user) => self.user_changes.push(user),
            Change::Key(key, info) if self.position.is_some() => self.key_changes.push((key, info)),
            Change::Key(key, Some(info)) => drop(self.snapshot.insert(key, info)),
            Change::Key(key, None) => drop(self.snapshot.remove(&key)),
        }
    }

    /// Puts in force what has come, if no snapshot is gathered.
    fn put_in_force(&mut self) {
        let Some(position) = self.position.as_mut() else { return };
        let credentials = &self.follow.shared.credentials;
        if !self.key_changes.is_empty() {
            credentials.apply_keys(std::mem::take(&mut self.key_changes));
        }
        if !self.user_changes.is_empty() {
            credentials.apply_users(std::mem::take(&mut self.user_changes));
        }
        position.sequence = self.sequence;
    }

    /// A heartbeat that is acknowledged and has come back proves that all before it has come, and is in force.
    fn prove(&mut self) -> Result<()> {
        let Some(Beat { acknowledged: Some(acknowledged), seen, others, asked, .. }) = self.beat else { return Ok(()) };
        let Some(seen) = seen else {
            if others.is_some_and(|others| others > acknowledged) {
                let problem = "another server has it: give each a name of its own".into();
                return Err(Error::Nats { action: "follow under this name", problem });
            }
            return Ok(());
        };
        if acknowledged != seen {
            let problem = "a heartbeat came back from another bucket".into();
            return Err(Error::Nats { action: PROVE, problem });
        }
        self.beat = None;
        let shared = &self.follow.shared;
        if self.position.is_none() {
            shared.credentials.swap_keys(std::mem::take(&mut self.snapshot));
            shared.credentials.swap_users(std::mem::take(&mut self.user_changes));
        }
        *self.position = Some(Position { created: self.created, sequence: self.sequence, proven: asked });
        // Before anybody is accepted: who sees that sees no old problem.
        shared.follows(self.sequence);
        shared.credentials.caught_up(asked);
        Ok(())
    }
}

fn look_at(info: &Info) -> Result<StreamState> {
    if let Some(problem) = unsuitable(&info.config) {
        return Err(Error::Nats { action: FIND, problem: problem.into() });
    }
    Ok(StreamState {
        created: info.created.unix_timestamp_nanos(),
        last_sequence: info.state.last_sequence,
        marker_lifetime: info.config.subject_delete_marker_ttl.unwrap_or(LONGEST_ABSENCE),
    })
}

/// A marker of the key-value store, or of the server where an entry has expired.
pub(super) fn is_removal(message: &Message) -> bool {
    message.headers.as_ref().is_some_and(|headers| {
        let operation = headers.get("KV-Operation").is_some_and(|operation| operation.as_str() != "PUT");
        operation || headers.get("Nats-Marker-Reason").is_some()
    })
}

async fn write(context: &Context, subject: &str, value: Vec<u8>) -> Result<u64> {
    let sent = context.publish(subject.to_owned(), value.into()).await.map_err(|error| failed(PROVE, &error))?;
    Ok(sent.await.map_err(|error| failed(PROVE, &error))?.sequence)
}

/// Never ends where there is nothing to wait for.
async fn wait(acknowledgement: &mut Option<Acknowledgement<'_>>) -> Result<u64> {
    match acknowledgement {
        Some(acknowledgement) => acknowledgement.await,
        None => std::future::pending().await,
    }
}

fn run_id() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    Ok(HEXLOWER.encode(&random))
}

const FIND: &str = "find the bucket";
const READ: &str = "read the bucket";
const PROVE: &str = "prove contact with the bucket";
