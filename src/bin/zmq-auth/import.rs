//! `zmq-auth import`: writes a directory of certificates and a password file into a NATS bucket.

use std::collections::HashMap;
use std::iter;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;
use zmq_auth::{
    BucketEntry, Certificate, Error, LastChange, Metadata, PasswordFile, PublicKey, PushedCredentials, zeroize,
};

use crate::bucket::{Bucket, BucketOptions, Place, changed_meanwhile, told};
use crate::output::{Exit, Failure, Output, note};
use crate::{directory, escape, file};

/// Write the certificates of a directory, and the users of a password file, into a NATS bucket
///
/// Everything is read and checked before anything is written. Entries that differ, and keys and users that were revoked
/// or deleted in the bucket, are changed only with --force. Nothing is removed. Passwords must be hashed.
#[derive(Args)]
#[command(after_help = "Example:\n  \
        zmq-auth import --nats nats://10.0.0.1 --bucket clients --domain lab --login admin.login clients --passwords users\n\n\
        Exit codes: 0 the bucket has all of it; 1 some entry differs or was revoked, or it failed.")]
pub(crate) struct Import {
    /// A directory of public certificates
    #[arg(value_name = "DIR", required_unless_present = "passwords")]
    directory: Option<PathBuf>,
    /// A password file with hashed passwords
    #[arg(long, value_name = "FILE")]
    passwords: Option<PathBuf>,
    /// Replace entries that differ, and restore what was revoked
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    bucket: BucketOptions,
}

#[derive(Serialize)]
struct Imported {
    #[serde(flatten)]
    place: Place,
    added: usize,
    changed: usize,
    unchanged: usize,
    /// Entries of the bucket that were left as they are.
    kept: Vec<Named>,
    /// Those that NATS did not confirm: they may be written or not.
    failed: Vec<Named>,
    /// How many were not tried after that.
    untried: usize,
}

#[derive(Serialize)]
struct Named {
    /// The file, or the user.
    name: String,
    why: String,
}

enum Item {
    Key { file: String, key: PublicKey, metadata: Metadata },
    User { name: String, hash: Zeroizing<String> },
}

enum Outcome {
    Added,
    Changed,
    Unchanged,
    Kept(String),
    Failed(String),
    Untried,
}

/// The number of threads that write, each with a connection of its own.
const WRITERS: usize = 8;
/// The number of items for which another thread is worth its connection.
const ITEMS: usize = 16;

impl Import {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let mut items = Vec::new();
        if let Some(directory) = &self.directory {
            items.extend(keys(directory)?);
        }
        if let Some(file) = &self.passwords {
            items.extend(users(file)?.into_iter().map(|(name, hash)| Item::User { name, hash }));
        }
        let bucket = self.bucket.open()?;
        let mut imported = Imported {
            place: bucket.place(),
            added: 0,
            changed: 0,
            unchanged: 0,
            kept: vec![],
            failed: vec![],
            untried: 0,
        };
        for (item, outcome) in items.iter().zip(write(&items, &bucket, self.force)?) {
            let named = |why| Named { name: item.name().to_owned(), why };
            match outcome {
                Outcome::Added => imported.added += 1,
                Outcome::Changed => imported.changed += 1,
                Outcome::Unchanged => imported.unchanged += 1,
                Outcome::Kept(why) => imported.kept.push(named(why)),
                Outcome::Failed(why) => imported.failed.push(named(why)),
                Outcome::Untried => imported.untried += 1,
            }
        }
        let Imported { added, changed, unchanged, kept, failed, untried, .. } = &imported;
        output.write(&imported, |out| {
            writeln!(out, "{}: {added} added, {changed} changed, {unchanged} already there", bucket.words())?;
            for (what, named) in [("left as it is", kept), ("not confirmed", failed)] {
                for Named { name, why } in named {
                    writeln!(out, "{what}: {}: {why}", escape::text(name))?;
                }
            }
            if *untried > 0 { writeln!(out, "not tried: {untried}") } else { Ok(()) }
        })?;
        if !failed.is_empty() {
            note("error: NATS has not confirmed everything. Repeat the command: what is already there stays as it is.");
        } else if !kept.is_empty() {
            note("With --force, what was left as it is becomes what the files have.");
        }
        Ok(if failed.is_empty() && kept.is_empty() { Exit::Done } else { Exit::Found })
    }
}

/// Writes the items, several at a time, until NATS fails.
fn write(items: &[Item], bucket: &Bucket, force: bool) -> Result<Vec<Outcome>, Failure> {
    let parts: Vec<_> = items.chunks(items.len().div_ceil(WRITERS).max(ITEMS)).collect();
    let others = parts.iter().skip(1).map(|_| bucket.connect_again()).collect::<Result<Vec<_>, _>>()?;
    let has_failed = &AtomicBool::new(false);
    let write_part = |items: &[Item], bucket| -> Vec<Outcome> {
        let write = |item: &Item| {
            if has_failed.load(Ordering::Relaxed) {
                return Outcome::Untried;
            }
            item.import(bucket, force).unwrap_or_else(|error| {
                has_failed.store(true, Ordering::Relaxed);
                Outcome::Failed(error.to_string())
            })
        };
        items.iter().map(write).collect()
    };
    Ok(thread::scope(|scope| {
        let buckets = iter::once(bucket).chain(&others);
        let write_part = &write_part;
        let threads: Vec<_> =
            parts.iter().zip(buckets).map(|(items, bucket)| scope.spawn(move || write_part(items, bucket))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    }))
}

impl Item {
    fn name(&self) -> &str {
        let (Item::Key { file: name, .. } | Item::User { name, .. }) = self;
        name
    }

    fn last_change(&self, bucket: &Bucket) -> zmq_auth::Result<Option<LastChange>> {
        match self {
            Item::Key { key, .. } => bucket.writer.last_change_of_key(&bucket.domain, key),
            Item::User { name, .. } => bucket.writer.last_change_of_user(&bucket.domain, name),
        }
    }

    fn import(&self, bucket: &Bucket, force: bool) -> zmq_auth::Result<Outcome> {
        let seen = self.last_change(bucket)?;
        if seen.as_ref().is_some_and(|seen| self.is_as(seen)) {
            return Ok(Outcome::Unchanged);
        }
        if seen.is_some() && !force {
            return Ok(Outcome::Kept(told(seen.as_ref())));
        }
        let (writer, domain, revision) =
            (&bucket.writer, &bucket.domain, seen.as_ref().map_or(0, |seen| seen.revision));
        let written = match self {
            Item::Key { key, metadata, .. } => writer.replace_key(domain, key, metadata, revision),
            Item::User { name, hash } => writer.replace_user(domain, name, hash, revision),
        };
        match written {
            Ok(_) if seen.is_some_and(|seen| seen.entry.is_some()) => Ok(Outcome::Changed),
            Ok(_) => Ok(Outcome::Added),
            Err(Error::Conflict { .. }) => Ok(Outcome::Kept(changed_meanwhile(self.last_change(bucket)?.as_ref()))),
            Err(error) => Err(error),
        }
    }

    fn is_as(&self, seen: &LastChange) -> bool {
        match (self, &seen.entry) {
            (Item::Key { metadata, .. }, Some(BucketEntry::Key { metadata: there, .. })) => metadata == there,
            (Item::User { hash, .. }, Some(BucketEntry::User { hash: there, .. })) => {
                there.as_bytes() == hash.as_bytes()
            }
            _ => false,
        }
    }
}

/// The certificates that a server would read. Fails if one of them is bad.
fn keys(directory: &Path) -> Result<Vec<Item>, Failure> {
    file::require_directory(directory)?;
    let mut files: HashMap<PublicKey, String> = HashMap::new();
    let (mut items, mut problems) = (Vec::new(), Vec::new());
    for entry in directory::read(directory)? {
        let file = entry.name();
        match entry.certificate {
            Err(error) => problems.push(format!("{file}: {}", directory::reason(&error))),
            Ok(certificate) if certificate.key_pair().is_some() => {
                problems.push(format!("{file}: has a secret key, which no server may have"));
            }
            Ok(certificate) => {
                let key = certificate.public_key();
                if let Some(other) = files.insert(key, file.clone()) {
                    problems
                        .push(format!("{file}: has the same key as {other}; a bucket has only one entry for a key"));
                }
                match named(certificate, &file) {
                    Ok(certificate) => items.push(Item::Key { file, key, metadata: certificate.metadata().clone() }),
                    Err(error) => problems.push(format!("{file}: {error}")),
                }
            }
        }
    }
    if problems.is_empty() {
        return Ok(items);
    }
    Err(Failure::new(format!("{} has problems; nothing was written", escape::path(directory)))
        .hint(problems.join("\n")))
}

/// Adds the file's name to the metadata if that has no name.
fn named(certificate: Certificate, file: &str) -> zmq_auth::Result<Certificate> {
    match certificate.metadata().get("name") {
        Some(_) => Ok(certificate),
        None => certificate.with_metadata("name", file.strip_suffix(".key").unwrap_or(file)),
    }
}

/// The users of a password file. Fails if a password isn't hashed.
fn users(path: &Path) -> Result<Vec<(String, Zeroizing<String>)>, Failure> {
    let content = read_password_file(path)?;
    let users = content.trim_start_matches('\u{feff}').split('\n').filter_map(user);
    let users: Vec<_> = users.map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned()))).collect();
    let check = PushedCredentials::new("a check");
    for (name, hash) in &users {
        if !hash.starts_with('$') || check.put_user(name, hash).is_err() {
            let message = format!("{}: the password of {} is not hashed", escape::path(path), escape::text(name));
            return Err(Failure::new(format!("{message}; nothing was written")).hint(
                "NATS would send it to every server in clear text. To hash it: zmq-auth passwd FILE USER, with the same \
                 password.",
            ));
        }
    }
    Ok(users)
}

/// The user and the password in a line of a password file.
pub(crate) fn user(line: &str) -> Option<(&str, &str)> {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    line.split_once('=').filter(|_| !line.starts_with('#'))
}

/// The content of a password file that the library accepts.
pub(crate) fn read_password_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    const MAX_FILE: u64 = 16 * 1024 * 1024;
    PasswordFile::open(path)?;
    let content = file::read_regular(path, MAX_FILE)
        .map_err(|error| Failure::new(format!("{}: cannot read: {error}", escape::path(path))))?;
    match std::str::from_utf8(&content) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::new(format!("{}: is not UTF-8", escape::path(path)))),
    }
}
