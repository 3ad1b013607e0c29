//! `zmq-auth passwd --bucket`: the users of a NATS bucket.

use serde::Serialize;
use zmq_auth::{Authenticator, BucketEntry, LastChange, Password, PasswordFile, PushedCredentials};

use super::{Bucket, Place, failure, time};
use crate::escape;
use crate::output::{Exit, Failure, Output};
use crate::passwd::is_right;
use crate::password::PasswordSource;

#[derive(Serialize)]
struct Changed {
    #[serde(flatten)]
    place: Place,
    user: String,
    /// `added`, `changed` or `deleted`.
    action: &'static str,
    /// The entry's revision; null if it was deleted.
    revision: Option<u64>,
}

#[derive(Serialize)]
struct Verified {
    #[serde(flatten)]
    place: Place,
    user: String,
    /// Whether the password is right.
    right: bool,
    /// Whether the bucket has the user.
    exists: bool,
}

impl Bucket {
    pub(crate) fn set_password(&self, user: &str, source: &PasswordSource, output: &Output) -> Result<Exit, Failure> {
        // Before asking for the password, so that a change that somebody makes meanwhile isn't overwritten.
        PasswordFile::line(user, &Password::from("any"))?;
        let seen = self.writer.last_change_of_user(&self.domain, user).map_err(failure)?;
        let password = Password::from(source.read_new(&format!("New password for {}: ", escape::text(user)))?);
        // As for a file: fails for anything that no client can send.
        let line = PasswordFile::line(user, &password)?;
        let revision = self.put_user(user, &line[user.len() + 1..], seen.as_ref())?;
        let is_there = seen.as_ref().is_some_and(|seen| seen.entry.is_some());
        let action = if is_there { "changed" } else { "added" };
        let changed = Changed { place: self.place(), user: user.to_owned(), action, revision: Some(revision) };
        output.write(&changed, |out| {
            writeln!(out, "{}: {action} in {} (revision {revision})", escape::text(user), self.words())?;
            if let Some(LastChange { entry: None, written, .. }) = &seen {
                writeln!(out, "(This user had been deleted at {}.)", time(*written))?;
            }
            self.follow(out)
        })?;
        Ok(Exit::Done)
    }

    pub(crate) fn delete_user(&self, user: &str, output: &Output) -> Result<Exit, Failure> {
        let shown = escape::text(user);
        if self.user(user)?.is_none() {
            return Err(self.no_such(&format!("user {shown}")));
        }
        self.writer.remove_user(&self.domain, user).map_err(failure)?;
        let changed = Changed { place: self.place(), user: user.to_owned(), action: "deleted", revision: None };
        output.write(&changed, |out| {
            writeln!(out, "{shown}: deleted in {}", self.words())?;
            self.follow(out)?;
            writeln!(out, "Connected clients stay connected, except to a gate.")
        })?;
        Ok(Exit::Done)
    }

    pub(crate) fn verify_user(&self, user: &str, source: &PasswordSource, output: &Output) -> Result<Exit, Failure> {
        let entry = self.user(user)?;
        let password = Password::from(source.read(&format!("Password of {}: ", escape::text(user)))?);
        let (authenticator, pushed) = (Authenticator::new(), PushedCredentials::new("the user's entry"));
        let asked = zmq_auth::Moment::now();
        if let Some(BucketEntry::User { hash, .. }) = &entry {
            pushed.put_user(user, std::str::from_utf8(hash.as_bytes()).unwrap_or_default())?;
        }
        pushed.caught_up(asked);
        authenticator.configure_plain_pushed("*", &pushed)?;
        let right = is_right(&authenticator, user, &password)?;
        let exists = entry.is_some();
        let verified = Verified { place: self.place(), user: user.to_owned(), right, exists };
        output.write(&verified, |out| match (right, exists) {
            (true, _) => writeln!(out, "right"),
            (false, true) => writeln!(out, "wrong"),
            (false, false) => writeln!(out, "wrong: {} has no user {}", self.words(), escape::text(user)),
        })?;
        Ok(if right { Exit::Done } else { Exit::Found })
    }

    /// The user's entry.
    fn user(&self, user: &str) -> Result<Option<BucketEntry>, Failure> {
        let last = self.writer.last_change_of_user(&self.domain, user).map_err(failure)?;
        Ok(last.and_then(|last| last.entry))
    }
}
