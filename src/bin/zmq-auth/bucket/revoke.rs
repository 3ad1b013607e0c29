//! `zmq-auth revoke --bucket`: removes a key from a NATS bucket, and waits for the servers to apply it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde::Serialize;
use zmq_auth::{BucketEntry, FollowingServer, LastChange, PublicKey};

use super::{Bucket, Place, failure, told};
use crate::escape;
use crate::output::{Exit, Failure, Output, note};
use crate::status::{SILENT, ago};

/// How long to wait for servers without `--wait`.
const WAIT: Duration = Duration::from_secs(5);
/// After how long without an answer of NATS waiting ends: longer than the election of a leader.
const OUTAGE: Duration = Duration::from_secs(10);

#[derive(Serialize)]
struct Revoked {
    #[serde(flatten)]
    place: Place,
    /// Z85.
    public_key: String,
    /// `revoked`, or `unchanged` if it had been revoked before; the removal is written in both cases.
    action: &'static str,
    /// The removal's revision.
    revision: u64,
    /// As of the last answer of NATS.
    servers: Vec<Told>,
    /// Why NATS didn't tell what the servers do; null if it did.
    problem: Option<String>,
    /// The shell command that undoes it; null if the key had no entry, or no command can restore it.
    undo: Option<String>,
}

/// A server that follows the domain.
#[derive(Serialize)]
struct Told {
    name: String,
    /// Whether its heartbeat shows that it refuses the key.
    refuses: bool,
    /// Seconds since its last heartbeat.
    age: f64,
}

impl Bucket {
    /// Removes a key. With `expected`, it fails if the last change has another revision.
    pub(crate) fn revoke(
        &self,
        name: &str,
        expected: Option<u64>,
        wait: Option<SignedDuration>,
        output: &Output,
    ) -> Result<Exit, Failure> {
        let wait = wait.map_or(WAIT, |wait| Duration::try_from(wait).unwrap_or_default());
        let (key, seen) = self.meant(name)?;
        let (was_there, revision) = self.remove(&key, &seen, expected)?;
        let undo = match &seen.entry {
            Some(BucketEntry::Key { metadata, .. }) => self.add_command(&key, metadata, revision),
            _ => None,
        };
        let (servers, problem) = self.wait_for(&key, revision, wait);
        let revoked = Revoked {
            place: self.place(),
            public_key: key.to_string(),
            action: if was_there { "revoked" } else { "unchanged" },
            revision,
            servers,
            problem: problem.as_ref().map(ToString::to_string),
            undo,
        };
        output.write(&revoked, |out| {
            writeln!(out, "revoked: {} in {} (revision {revision})", revoked.public_key, self.words())?;
            if !was_there {
                writeln!(out, "({}.)", told(Some(&seen)))?;
            }
            for server in &revoked.servers {
                let says = if server.refuses { "refuses it" } else { "has not confirmed that it refuses it" };
                writeln!(out, "  {} {says}", escape::text(&server.name))?;
            }
            writeln!(
                out,
                "A connected client stays connected until its server checks it again (is_still_allowed) or disconnects\n\
                 it, as a gate does."
            )?;
            revoked.undo.iter().try_for_each(|undo| writeln!(out, "Undo: {undo}"))
        })?;
        let open = revoked.servers.iter().filter(|server| !server.refuses);
        for server in open.clone() {
            note(format_args!(
                "warning: the last heartbeat of {} was {}; without contact, it uses what it has for its max_age, and then \
                 accepts nobody",
                escape::text(&server.name),
                ago(Duration::from_secs_f64(server.age))
            ));
        }
        if let Some(problem) = &problem {
            note(format_args!(
                "warning: the key is removed, but which servers already refuse it is unknown: {problem}\nTo check again: {}",
                self.command("status", "")
            ));
        }
        Ok(if open.count() == 0 && problem.is_none() { Exit::Done } else { Exit::Found })
    }

    /// Removes the key, even if it had been removed before: only an acknowledged write proves that a quorum has the
    /// removal. Returns whether the key had an entry, and the removal's revision.
    fn remove(&self, key: &PublicKey, seen: &LastChange, expected: Option<u64>) -> Result<(bool, u64), Failure> {
        let look = || self.writer.last_change_of_key(&self.domain, key);
        let was_there = match expected {
            None => self.writer.remove_key(&self.domain, key).map_err(|error| {
                failure(error).hint(format!(
                    "The key may be revoked or not. Revoke it again, and look at {}",
                    self.command("ls", "")
                ))
            })?,
            Some(revision) => {
                self.require_unchanged(revision, Some(seen))?;
                self.written(self.writer.remove_key_at(&self.domain, key, revision), look)?;
                seen.entry.is_some()
            }
        };
        let problem = match look() {
            Ok(Some(now)) if now.revision > seen.revision => match now.entry {
                None => return Ok((was_there, now.revision)),
                Some(_) => format!("somebody else has written it again: {}", told(Some(&now))),
            },
            Ok(_) => "NATS has answered with an older entry".to_owned(),
            Err(error) => format!("the removal could not be read back: {error}"),
        };
        Err(Failure::new(format!("the key was revoked, but {problem}")).hint("Revoke it again."))
    }

    /// The key with this name, and its last change.
    fn meant(&self, name: &str) -> Result<(PublicKey, LastChange), Failure> {
        let shown = escape::text(name);
        let key = match name.parse::<PublicKey>() {
            Ok(key) => key,
            Err(_) => {
                let named = self.named(name.strip_suffix(".key").unwrap_or(name))?;
                match named[..] {
                    [key] => key,
                    [] if Path::new(name).is_file() => PublicKey::load(name)?,
                    [] => return Err(self.no_such(&format!("key with the name {shown}, and there is no file {shown}"))),
                    _ => {
                        let keys: Vec<_> = named.iter().map(ToString::to_string).collect();
                        return Err(Failure::new(format!(
                            "{} keys have the name {shown}; nothing was changed",
                            keys.len()
                        ))
                        .hint(format!("Give the key instead, in quotes. They are:\n{}", keys.join("\n"))));
                    }
                }
            }
        };
        let seen = self.writer.last_change_of_key(&self.domain, &key).map_err(failure)?;
        seen.map(|seen| (key, seen)).ok_or_else(|| self.no_such(&format!("key {key}")))
    }

    fn named(&self, name: &str) -> Result<Vec<PublicKey>, Failure> {
        let entries = self.writer.entries(&self.domain).map_err(failure)?;
        let is_named = |entry| match entry {
            BucketEntry::Key { key, metadata, .. } if metadata.get("name") == Some(name) => Some(key),
            _ => None,
        };
        Ok(entries.into_iter().filter_map(is_named).collect())
    }

    /// Waits until all servers in contact have reached this revision, and returns them as of the last answer; with the
    /// problem, if NATS no longer answers.
    fn wait_for(&self, key: &PublicKey, revision: u64, wait: Duration) -> (Vec<Told>, Option<Failure>) {
        let end = Instant::now() + wait;
        let is_open = |server: &FollowingServer| server.sequence < revision && server.age <= SILENT;
        let (mut servers, mut problem, mut is_first) = (Vec::new(), None, true);
        loop {
            match self.writer.servers(&self.domain) {
                Ok(found) => (servers, problem) = (found, None),
                Err(error) => {
                    let since = problem.map_or_else(Instant::now, |(since, _)| since);
                    problem = Some((since, failure(error)));
                }
            }
            let is_over = match &problem {
                Some((since, _)) => since.elapsed() >= OUTAGE,
                None => !servers.iter().any(is_open),
            };
            if is_over || Instant::now() >= end {
                let told = servers.into_iter().map(|server| Told {
                    refuses: server.sequence >= revision,
                    age: server.age.as_secs_f64(),
                    name: server.name,
                });
                return (told.collect(), problem.map(|(_, failure)| failure));
            }
            if is_first {
                // Before the wait, so that whoever interrupts it knows.
                note(format_args!("removed: {key} (revision {revision}); waiting for the servers to confirm"));
                is_first = false;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}
