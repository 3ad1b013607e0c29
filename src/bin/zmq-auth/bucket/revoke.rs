//! `zmq-auth revoke --bucket`: removes a key from a NATS bucket, and waits for the servers to apply it.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde::Serialize;
use zmq_auth::{BucketEntry, LastChange, PublicKey};

use super::{Bucket, Place, failure, told};
use crate::escape;
use crate::output::{Exit, Failure, Output, note};
use crate::status::{SILENT, ago};

/// How long to wait for servers without `--wait`.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Revoked {
    #[serde(flatten)]
    place: Place,
    /// Z85.
    public_key: String,
    /// `revoked`, or `unchanged` if it was revoked before.
    action: &'static str,
    /// The removal's revision.
    revision: u64,
    servers: Vec<Told>,
    /// The shell command that undoes it; null if nothing was changed, or the entry wasn't understood.
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
    pub(crate) fn revoke(&self, name: &str, wait: Option<SignedDuration>, output: &Output) -> Result<Exit, Failure> {
        let wait = wait.map_or(WAIT, |wait| Duration::try_from(wait).unwrap_or_default());
        let (key, seen) = self.meant(name)?;
        let is_there = seen.entry.is_some();
        // Also removes a key that is being written at this moment.
        let revision = if is_there {
            self.writer.remove_key(&self.domain, &key).map_err(|error| {
                failure(error)
                    .hint(format!("It may be revoked or not: do it again, and look at {}", self.command("ls", "")))
            })?;
            let now = self.writer.last_change_of_key(&self.domain, &key).map_err(failure)?;
            match now {
                Some(LastChange { entry: Some(_), .. }) => return Err(self.is_back(now.as_ref())),
                now => now.map_or(0, |now| now.revision),
            }
        } else {
            seen.revision
        };
        let undo = match &seen.entry {
            Some(BucketEntry::Key { metadata, .. }) => Some(self.add_command(&key, metadata)),
            _ => None,
        };
        let revoked = Revoked {
            place: self.place(),
            public_key: key.to_string(),
            action: if is_there { "revoked" } else { "unchanged" },
            revision,
            servers: self.wait_for(revision, wait)?,
            undo,
        };
        output.write(&revoked, |out| {
            match is_there {
                true => writeln!(out, "revoked: {} in {} (revision {revision})", revoked.public_key, self.words())?,
                false => writeln!(out, "nothing to do: {}: {}", revoked.public_key, told(Some(&seen)))?,
            }
            for server in &revoked.servers {
                let says = if server.refuses { "refuses it" } else { "has not said that it refuses it" };
                writeln!(out, "  {} {says}", escape::text(&server.name))?;
            }
            writeln!(
                out,
                "A client that is connected stays until the server looks again (is_still_allowed) or ends the connection\n\
                 (a gate does)."
            )?;
            revoked.undo.iter().try_for_each(|undo| writeln!(out, "Undo: {undo}"))
        })?;
        let open = revoked.servers.iter().filter(|server| !server.refuses);
        for server in open.clone() {
            note(format_args!(
                "warning: {} was heard of {}; without contact, it goes on by what it has for its max_age, and then accepts \
                 nobody",
                escape::text(&server.name),
                ago(Duration::from_secs_f64(server.age))
            ));
        }
        Ok(if open.count() == 0 { Exit::Done } else { Exit::Found })
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
                        .hint(format!("Give the one that is meant, in quotes:\n{}", keys.join("\n"))));
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

    pub(crate) fn no_such(&self, what: &str) -> Failure {
        Failure::new(format!("{} has no {what}; nothing was changed", self.words()))
            .hint(format!("What it has: {}", self.command("ls", "")))
    }

    fn is_back(&self, now: Option<&LastChange>) -> Failure {
        Failure::new(format!("it was revoked, and somebody else has written it again: {}", told(now)))
            .hint("Do it again, and talk to each other.")
    }

    /// Waits until all servers that are in contact have reached this revision.
    fn wait_for(&self, revision: u64, wait: Duration) -> Result<Vec<Told>, Failure> {
        let end = Instant::now() + wait;
        loop {
            let servers = self.writer.servers(&self.domain).map_err(failure)?;
            let is_done = servers.iter().all(|server| server.sequence >= revision || server.age > SILENT);
            if is_done || Instant::now() >= end {
                let told = servers.into_iter().map(|server| Told {
                    refuses: server.sequence >= revision,
                    age: server.age.as_secs_f64(),
                    name: server.name,
                });
                return Ok(told.collect());
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}
