//! `zmq-auth add --bucket`: adds a client's key to a NATS bucket.

use serde::Serialize;
use zmq_auth::{BucketEntry, LastChange, Metadata, PublicKey};

use super::{Bucket, Place, failure, pairs, told};
use crate::output::{Exit, Failure, Output};
use crate::validity::State;

#[derive(Serialize)]
struct Added {
    #[serde(flatten)]
    place: Place,
    /// Z85.
    public_key: String,
    /// `valid`, `not-yet-valid` or `expired`.
    state: State,
    /// `added`, `changed`, or `unchanged` if it was there with the same metadata.
    action: &'static str,
    /// The entry's revision.
    revision: u64,
    /// The shell command that undoes the change; null if nothing was changed, or no command can restore the metadata.
    undo: Option<String>,
}

impl Bucket {
    /// Adds a key that has no entry. With `force`, it also replaces the metadata of one that has, and restores a revoked
    /// one. With `expected`, it fails if the last change has another revision. `validity` is only for the output.
    pub(crate) fn add(
        &self,
        key: &PublicKey,
        metadata: &Metadata,
        (state, validity): (State, String),
        force: bool,
        expected: Option<u64>,
        output: &Output,
    ) -> Result<Exit, Failure> {
        let seen = self.writer.last_change_of_key(&self.domain, key).map_err(failure)?;
        if let Some(expected) = expected {
            self.require_unchanged(expected, seen.as_ref())?;
        }
        let old = seen.as_ref().and_then(|seen| match &seen.entry {
            Some(BucketEntry::Key { metadata, .. }) => Some(metadata),
            _ => None,
        });
        let (action, revision, undo) = match &seen {
            Some(seen) if old == Some(metadata) => ("unchanged", seen.revision, None),
            Some(seen) if !force => return Err(self.is_taken(seen)),
            seen => {
                let revision = self.put_key(key, metadata, seen.as_ref())?;
                let undo = match old {
                    Some(old) => self.add_command(key, old, revision),
                    None => Some(self.revoke_command(key, revision)),
                };
                let is_there = seen.as_ref().is_some_and(|seen| seen.entry.is_some());
                (if is_there { "changed" } else { "added" }, revision, undo)
            }
        };
        let added = Added { place: self.place(), public_key: key.to_string(), state, action, revision, undo };
        output.write(&added, |out| {
            writeln!(
                out,
                "{}: {action} in {} (revision {revision}), with {}",
                added.public_key,
                self.words(),
                pairs(metadata)
            )?;
            if state != State::Valid {
                writeln!(out, "It is {validity}.")?;
            }
            if action == "unchanged" {
                return Ok(());
            }
            self.follow(out)?;
            added.undo.iter().try_for_each(|undo| writeln!(out, "Undo: {undo}"))
        })?;
        Ok(Exit::Done)
    }

    fn is_taken(&self, seen: &LastChange) -> Failure {
        let hint = match &seen.entry {
            None => "With --force, the key is accepted again.",
            Some(_) => "With --force, the entry is replaced.",
        };
        Failure::new(format!("{} has an entry for this key: {}; nothing was changed", self.words(), told(Some(seen))))
            .hint(hint)
    }
}
