//! `zmq-auth ls --bucket`: the keys and users of a NATS bucket.

use jiff::Timestamp;
use serde::Serialize;
use zmq_auth::{BucketEntry, Metadata, PublicKey};

use super::{Bucket, Place, failure};
use crate::escape;
use crate::output::{Exit, Failure, Output, note};
use crate::validity::{NOT_AFTER, NOT_BEFORE, State, Validity};

#[derive(Serialize)]
struct Listing {
    #[serde(flatten)]
    place: Place,
    keys: Vec<Key>,
    users: Vec<User>,
    unreadable: Vec<Unreadable>,
}

#[derive(Serialize)]
struct Key {
    /// Z85.
    public_key: String,
    /// `valid`, `not-yet-valid` or `expired`.
    state: State,
    not_before: Option<String>,
    not_after: Option<String>,
    metadata: serde_json::Map<String, serde_json::Value>,
    revision: u64,
    #[serde(skip)]
    words: String,
}

#[derive(Serialize)]
struct User {
    user: String,
    revision: u64,
}

/// An entry that accepts nobody.
#[derive(Serialize)]
struct Unreadable {
    entry: String,
    problem: &'static str,
}

impl Bucket {
    pub(crate) fn list(&self, wanted: Option<&PublicKey>, output: &Output) -> Result<Exit, Failure> {
        let mut listing = Listing { place: self.place(), keys: vec![], users: vec![], unreadable: vec![] };
        for entry in self.writer.entries(&self.domain).map_err(failure)? {
            match entry {
                BucketEntry::Key { key, metadata, revision, .. } if wanted.is_none_or(|wanted| *wanted == key) => {
                    listing.keys.push(Key::new(&key, &metadata, revision)?);
                }
                _ if wanted.is_some() => {}
                BucketEntry::User { name, revision, .. } => listing.users.push(User { user: name, revision }),
                BucketEntry::Unreadable { name, problem, .. } => {
                    listing.unreadable.push(Unreadable { entry: name, problem });
                }
                _ => {}
            }
        }
        listing.keys.sort_by(|one, other| one.name().cmp(other.name()));
        listing.users.sort_by(|one, other| one.user.cmp(&other.user));
        let names = listing.keys.iter().map(|key| key.name().chars().count());
        let width = names.max().unwrap_or(0).min(40);
        output.write(&listing, |out| {
            for key in &listing.keys {
                writeln!(out, "{:width$}  {:40}  {}", escape::text(key.name()), key.public_key, key.words)?;
            }
            for user in &listing.users {
                writeln!(out, "user {}", escape::text(&user.user))?;
            }
            let mut unreadable = listing.unreadable.iter();
            unreadable.try_for_each(|entry| writeln!(out, "problem: {} {}", escape::text(&entry.entry), entry.problem))
        })?;
        let is_found = wanted.is_none() || !listing.keys.is_empty();
        if !is_found {
            note(format_args!("no entry of {} has this key", self.words()));
        }
        Ok(if is_found { Exit::Done } else { Exit::Found })
    }
}

impl Key {
    fn new(key: &PublicKey, metadata: &Metadata, revision: u64) -> Result<Self, Failure> {
        let now = Timestamp::now();
        // An entry with unreadable times was already reported as unreadable.
        let validity = Validity::of(metadata).map_err(Failure::new)?;
        let rest = metadata.iter().filter(|(name, _)| ![NOT_BEFORE, NOT_AFTER, "name"].contains(name));
        let rest: String = rest.map(|(name, value)| escape::text(&format!("  {name}={value}"))).collect();
        let time = |name| metadata.get(name).map(str::to_owned);
        Ok(Key {
            public_key: key.to_string(),
            state: validity.state(now),
            not_before: time(NOT_BEFORE),
            not_after: time(NOT_AFTER),
            metadata: metadata.iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
            revision,
            words: format!("{}{rest}", validity.words(now)),
        })
    }

    fn name(&self) -> &str {
        self.metadata.get("name").and_then(|name| name.as_str()).unwrap_or("-")
    }
}
