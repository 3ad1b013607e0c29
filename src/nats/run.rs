//! One run of a follower, from the creation of its consumer to the first failure.
//!
//! # Proof of contact
//!
//! A follower must know that it hasn't missed a revocation. An open connection doesn't prove that: the NATS server at
//! the other end may be stalled or cut off from its cluster, or the bucket may have been deleted and created again. So
//! the follower writes heartbeats into the bucket, each with a text that no other write has (a random id and a count),
//! and waits for two things, in either order:
//!
//! ```text
//!  follower                                     stream of the bucket
//!                                               41  curve.lab.A
//!  asked = now()                                42  plain.lab.B  removed
//!     ├──── write "id.7" ─────────────────────▶ 43  server.lab.me.1 "id.7"
//!     │◀─── acknowledged: number 43 ──────────┤     stored, by a quorum in a cluster
//!     │◀─── 41, 42 ───────────────────────────┤     the consumer delivers in order
//!     │◀─── 43 "id.7", seen at number 43 ─────┤     and nothing before 43 is missing
//!  proven(asked)
//! ```
//!
//! - *Acknowledged*: the bucket has stored the heartbeat. All that was acknowledged before `asked` has a lower number.
//! - *Seen*: it came back under the same number. Another number means another bucket. Entries are numbered and arrive
//!   in order, and a gap ends the run, so all with a lower number have arrived and been applied.
//!
//! Contact is then proven for the moment `asked`, before the write: a change made after it may not have arrived.
//!
//! # Resuming
//!
//! After a failure the next run resumes at the [`Position`] of this one, if nothing can have been missed meanwhile;
//! otherwise it reads the whole bucket, and applies that snapshot with the first proof. [`Position::may_resume`]
//! compares the state of the stream, which doesn't show whether the bucket was restored from a copy. So before its
//! first proof, a resumed run must receive again what a restored bucket may lack ([`Awaited`]):
//!
//! ```text
//!  40  server.lab.me.0 "id.6"   proven: must be the first entry, with this number and text
//!  41  curve.lab.A          ┐   applied since, `Position::since`: must each come again,
//!  42  plain.lab.B          ┘   or a later entry of the same name
//!  43  server.lab.me.1 "id.7"   not proven yet
//! ```
//!
//! A bucket keeps only the last entry of each name. Therefore a server has two names for heartbeats, the slots 0 and 1,
//! and writes each heartbeat to the slot that doesn't hold the last proven one: 40 stays until 43 is proven.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{self, MessagesError};
use async_nats::jetstream::stream::Info;
use async_nats::jetstream::{Context, Message};
use data_encoding::HEXLOWER;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::connect::{PATIENCE, failed, unsuitable};
use super::entry::{self, Change, ServerValue, Subject};
use super::follow::Follow;
use super::position::{Awaited, MOST_SINCE, Position, StreamState};
use crate::contact::Moment;
use crate::curve::{KeyChange, KeyMap};
use crate::error::{Error, Result};
use crate::plain::UserChange;

/// A run and what it has received.
pub(super) struct Run<'f> {
    follow: &'f Follow,
    context: Context,
    created: i128,
    /// The consumer's name.
    consumer: String,
    /// The name of this server's heartbeats, without the slot.
    own: String,
    /// `None` while a snapshot is collected, which is applied as a whole.
    position: &'f mut Option<Position>,
    snapshot: KeyMap,
    key_changes: Vec<KeyChange>,
    user_changes: Vec<UserChange>,
    awaited: Awaited,
    /// Entries that arrived after the heartbeat that will prove the snapshot: the first `since` of its position.
    early: BTreeMap<String, u64>,
    /// The number of the last entry that arrived.
    sequence: u64,
    /// How many messages the consumer has delivered. It numbers them, so a gap shows.
    consumed: u64,
    beat: Option<Beat>,
    beats: u64,
    id: String,
    /// When this run began.
    started: Moment,
    /// How long after the last snapshot the whole bucket is read again.
    read_again: Duration,
}

/// A heartbeat that isn't proven yet.
struct Beat {
    text: String,
    asked: Moment,
    /// When the run fails unless another message has arrived.
    deadline: Instant,
    /// The number that the write was acknowledged with.
    acknowledged: Option<u64>,
    /// The number under which it came back.
    seen: Option<u64>,
    /// The number of a heartbeat under one of our names that we didn't write: it may have replaced ours.
    others: Option<u64>,
}

type Acknowledgement = Pin<Box<dyn Future<Output = Result<u64>> + Send>>;

/// At most this many entries are applied at once.
const BATCH: usize = 10_000;
pub(super) const FIND: &str = "find the bucket";
pub(super) const USE: &str = "use the bucket";
pub(super) const RESUME: &str = "resume";
pub(super) const NOT_AGAIN: &str =
    "its last heartbeat isn't in the bucket: it was restored from a copy, or another server has the same name";
pub(super) const READ: &str = "read the bucket";
const PROVE: &str = "prove contact with the bucket";

impl<'f> Run<'f> {
    pub(super) fn new(
        follow: &'f Follow,
        context: Context,
        consumer: String,
        own: String,
        created: i128,
        position: &'f mut Option<Position>,
    ) -> Result<Self> {
        let known = position.as_ref();
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
        Ok(Run {
            follow,
            context,
            created,
            consumer,
            own,
            awaited: Awaited::of(known),
            sequence: known.map_or(0, |position| position.beat_sequence - 1),
            position,
            snapshot: KeyMap::default(),
            key_changes: Vec::new(),
            user_changes: Vec::new(),
            early: BTreeMap::new(),
            consumed: 0,
            beat: None,
            beats: 0,
            id: HEXLOWER.encode(&random),
            started: Moment::now(),
            read_again: follow.bucket.read_again.mul_f64(0.75 + f64::from(random[0]) / 1020.0),
        })
    }

    /// Follows until the whole bucket has to be read again, or until the first failure.
    pub(super) async fn follow(mut self, mut messages: pull::Stream) -> Result<()> {
        if self.awaited.begins() {
            // Nothing is written before the bucket has shown that it is the same.
            let first = timeout(PATIENCE, messages.next()).await;
            self.take(first.map_err(|_| nats(READ, "no entry comes"))?)?;
        }
        let mut next_beat = interval(self.follow.bucket.heartbeat);
        next_beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut acknowledgement: Option<Acknowledgement> = None;
        loop {
            let deadline = self.beat.as_ref().map(|beat| beat.deadline);
            let left = self.position.as_ref().map(|position| self.read_again.saturating_sub(position.read.elapsed()));
            tokio::select! {
                message = messages.next() => {
                    self.take(message)?;
                    // Apply everything that has already arrived in one batch.
                    let mut batch = 1;
                    while batch < BATCH && let Some(message) = messages.next().now_or_never() {
                        self.take(message)?;
                        batch += 1;
                    }
                    self.apply();
                    if let Some(beat) = &mut self.beat {
                        beat.deadline = Instant::now() + PATIENCE;
                    }
                    self.prove()?;
                }
                _ = next_beat.tick(), if self.beat.is_none() => acknowledgement = Some(self.write_beat()),
                sequence = wait(&mut acknowledgement) => {
                    acknowledgement = None;
                    if let Some(beat) = &mut self.beat {
                        beat.acknowledged = Some(sequence?);
                    }
                    self.prove()?;
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    return Err(nats(PROVE, "a heartbeat did not come back"));
                }
                () = sleep(left.unwrap_or_default()), if left.is_some() => return Ok(()),
            }
        }
    }

    fn write_beat(&mut self) -> Acknowledgement {
        self.beats += 1;
        let text = format!("{}.{}", self.id, self.beats);
        let status = self.follow.shared.credentials.status();
        let position = self.position.as_ref().map(|position| (position.sequence, position.proven.elapsed()));
        let value = ServerValue::new(text.clone(), position, status.keys, status.users);
        // To the slot that doesn't hold the proven one.
        let subject = format!("{}.{}", self.own, self.position.as_ref().map_or(0, |position| position.slot ^ 1));
        let (asked, deadline) = (Moment::now(), Instant::now() + PATIENCE);
        self.beat = Some(Beat { text, asked, deadline, acknowledged: None, seen: None, others: None });
        let (context, stream) = (self.context.clone(), self.follow.bucket.stream());
        Box::pin(write(context, subject, entry::to_bytes(&value), stream, self.created))
    }

    fn take(&mut self, message: Option<Result<Message, MessagesError>>) -> Result<()> {
        let message = message.ok_or_else(|| nats(READ, "the stream of entries has ended"))?;
        let message = message.map_err(|error| failed(READ, &error))?;
        let info = message.info().map_err(|_| nats(READ, "an entry came without its number"))?;
        if info.stream != self.follow.bucket.stream() || info.consumer != self.consumer {
            return Err(nats(READ, "an entry came that nobody has asked for"));
        }
        if info.consumer_sequence != self.consumed + 1 || info.stream_sequence <= self.sequence {
            return Err(nats(READ, "entries were lost on the way"));
        }
        (self.consumed, self.sequence) = (info.consumer_sequence, info.stream_sequence);
        let own = message.subject.strip_prefix(self.own.as_str());
        let value = own.and_then(|_| ServerValue::parse(&message.payload).ok());
        if !self.awaited.may_be_next(self.sequence, value.as_ref().map(|value| value.beat.as_str())) {
            return Err(nats(RESUME, NOT_AGAIN));
        }
        if own.is_some() {
            if let Some(beat) = &mut self.beat {
                let is_ours = value.is_some_and(|value| value.beat == beat.text);
                *if is_ours { &mut beat.seen } else { &mut beat.others } = Some(self.sequence);
            }
            return Ok(());
        }
        let prefix = self.follow.bucket.subject("");
        let name = message.subject.strip_prefix(prefix.as_str()).unwrap_or(&message.subject);
        if self.awaited.is_outdated(name, self.sequence) {
            return Ok(());
        }
        let since = match (self.position.as_mut(), &self.beat) {
            (Some(position), _) => Some(&mut position.since),
            // After the heartbeat that is about to be proven.
            (None, Some(Beat { seen: Some(_), .. })) => Some(&mut self.early),
            _ => None,
        };
        if let Some(since) = since.filter(|since| since.len() <= MOST_SINCE) {
            since.insert(name.to_owned(), self.sequence);
        }
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

    /// Applies what has arrived, except while a snapshot is collected.
    fn apply(&mut self) {
        let Some(position) = self.position.as_mut() else { return };
        let shared = &self.follow.shared;
        if !self.key_changes.is_empty() {
            shared.credentials.apply_keys(shared.turn(), std::mem::take(&mut self.key_changes));
        }
        if !self.user_changes.is_empty() {
            shared.credentials.apply_users(shared.turn(), std::mem::take(&mut self.user_changes));
        }
        position.sequence = position.sequence.max(self.sequence);
    }

    /// Records contact, and applies the snapshot if there is one, once the heartbeat is both acknowledged and seen.
    fn prove(&mut self) -> Result<()> {
        let Some(Beat { acknowledged: Some(acknowledged), seen, others, asked, .. }) = self.beat else { return Ok(()) };
        let Some(seen) = seen else {
            if others.is_some_and(|others| others > acknowledged) {
                let problem = "another server has it: give each a name of its own";
                return Err(nats("follow under this name", problem));
            }
            return Ok(());
        };
        if acknowledged != seen {
            return Err(nats(PROVE, "a heartbeat came back from another bucket"));
        }
        if !self.awaited.is_done() {
            return Err(nats(RESUME, "entries that were applied are not in it: it was restored from a copy"));
        }
        let shared = &self.follow.shared;
        let (turn, is_snapshot) = (shared.turn(), self.position.is_none());
        if is_snapshot {
            shared.credentials.swap_keys(turn, std::mem::take(&mut self.snapshot));
            shared.credentials.swap_users(turn, std::mem::take(&mut self.user_changes));
        }
        let (slot, read, since) = match self.position.take() {
            None => (0, self.started, std::mem::take(&mut self.early)),
            Some(Position { slot, read, mut since, .. }) => {
                since.retain(|_, sequence| *sequence > seen);
                (slot ^ 1, read, since)
            }
        };
        *self.position = Some(Position {
            created: self.created,
            sequence: self.sequence,
            read,
            proven: asked,
            beat_sequence: seen,
            beat: self.beat.take().map(|beat| beat.text).unwrap_or_default(),
            slot,
            since,
        });
        // First, so that nobody sees the previous problem once clients are accepted again.
        shared.follows(self.sequence, is_snapshot);
        shared.credentials.proven(turn, asked);
        Ok(())
    }
}

pub(super) fn look_at(info: &Info) -> Result<StreamState> {
    if let Some(problem) = unsuitable(&info.config) {
        return Err(nats(USE, problem));
    }
    Ok(StreamState {
        created: info.created.unix_timestamp_nanos(),
        first_sequence: info.state.first_sequence,
        last_sequence: info.state.last_sequence,
    })
}

/// Whether a message is the key-value store's marker of a removed entry.
pub(super) fn is_removal(message: &Message) -> bool {
    message.headers.as_ref().is_some_and(|headers| {
        let operation = headers.get("KV-Operation").is_some_and(|operation| operation.as_str() != "PUT");
        operation || headers.get("Nats-Marker-Reason").is_some()
    })
}

/// Writes a heartbeat, and checks that the stream is the same and still suitable.
async fn write(context: Context, subject: String, value: Vec<u8>, stream: String, created: i128) -> Result<u64> {
    let sent = context.publish(subject, value.into()).await.map_err(|error| failed(PROVE, &error))?;
    let sequence = sent.await.map_err(|error| failed(PROVE, &error))?.sequence;
    let stream = context.get_stream(stream).await.map_err(|error| failed(FIND, &error))?;
    if look_at(stream.cached_info())?.created != created {
        return Err(nats(FIND, "it was recreated"));
    }
    Ok(sequence)
}

/// Pending for ever if there is no acknowledgement to wait for.
async fn wait(acknowledgement: &mut Option<Acknowledgement>) -> Result<u64> {
    match acknowledgement {
        Some(acknowledgement) => acknowledgement.await,
        None => std::future::pending().await,
    }
}

pub(super) fn nats(action: &'static str, problem: &str) -> Error {
    Error::Nats { action, problem: problem.into() }
}
