//! `zmq-auth import`: writes a directory of certificates and a password file into a NATS bucket.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;
use zmq_auth::{BucketEntry, Certificate, LastChange, Metadata, PasswordFile, PublicKey, PushedCredentials, zeroize};

use crate::bucket::{Bucket, BucketOptions, Place, failure, told};
use crate::output::{Exit, Failure, Output, note};
use crate::{directory, escape, file};

/// Write the certificates of a directory, and the users of a password file, into a bucket of NATS
///
/// Everything is read before anything is written. What the bucket has already stays as it is; what it has otherwise, and
/// what was revoked there, is changed with --force alone. Nothing is removed. Passwords must be hashed.
#[derive(Args)]
#[command(after_help = "Example:\n  \
        zmq-auth import --nats nats://10.0.0.1 --bucket clients --domain lab --login admin.login clients --passwords users\n\n\
        Exit codes: 0 the bucket has all of it; 1 something is there otherwise or was revoked, or it failed.")]
pub(crate) struct Import {
    /// A directory of public certificates
    #[arg(value_name = "DIR", required_unless_present = "passwords")]
    directory: Option<PathBuf>,
    /// A password file with hashed passwords
    #[arg(long, value_name = "FILE")]
    passwords: Option<PathBuf>,
    /// Replace what is there otherwise, and bring back what was revoked
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
    kept: Vec<Kept>,
}

#[derive(Serialize)]
struct Kept {
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
    Kept(Kept),
}

/// The number of concurrent writes.
const AT_ONCE: usize = 8;

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
        let part = items.len().div_ceil(AT_ONCE).max(1);
        let import = |items: &[Item]| -> Result<Vec<Outcome>, Failure> {
            items.iter().map(|item| item.import(&bucket, self.force)).collect()
        };
        let parts: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = items.chunks(part).map(|items| scope.spawn(|| import(items))).collect();
            let panicked = || Err(Failure::new("a thread has panicked"));
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
        });
        let mut imported = Imported { place: bucket.place(), added: 0, changed: 0, unchanged: 0, kept: vec![] };
        for outcome in parts.into_iter().collect::<Result<Vec<_>, _>>().map_err(again)?.into_iter().flatten() {
            match outcome {
                Outcome::Added => imported.added += 1,
                Outcome::Changed => imported.changed += 1,
                Outcome::Unchanged => imported.unchanged += 1,
                Outcome::Kept(kept) => imported.kept.push(kept),
            }
        }
        output.write(&imported, |out| {
            let Imported { added, changed, unchanged, .. } = imported;
            writeln!(out, "{}: {added} added, {changed} changed, {unchanged} were there", bucket.words())?;
            let mut kept = imported.kept.iter();
            kept.try_for_each(|kept| writeln!(out, "left as it is: {}: {}", escape::text(&kept.name), kept.why))
        })?;
        if imported.kept.is_empty() {
            return Ok(Exit::Done);
        }
        note("With --force, what was left as it is becomes what the files say.");
        Ok(Exit::Found)
    }
}

fn again(failure: Failure) -> Failure {
    failure.hint("A part may be written. Do it again: what is there already stays as it is.")
}

impl Item {
    fn import(&self, bucket: &Bucket, force: bool) -> Result<Outcome, Failure> {
        let (writer, domain) = (&bucket.writer, &bucket.domain);
        let seen = match self {
            Item::Key { key, .. } => writer.last_change_of_key(domain, key),
            Item::User { name, .. } => writer.last_change_of_user(domain, name),
        };
        let seen = seen.map_err(failure)?;
        if seen.as_ref().is_some_and(|seen| self.is_as(seen)) {
            return Ok(Outcome::Unchanged);
        }
        if seen.is_some() && !force {
            let (Item::Key { file: name, .. } | Item::User { name, .. }) = self;
            return Ok(Outcome::Kept(Kept { name: name.clone(), why: told(seen.as_ref()) }));
        }
        match self {
            Item::Key { key, metadata, .. } => bucket.put_key(key, metadata, seen.as_ref())?,
            Item::User { name, hash } => bucket.put_user(name, hash, seen.as_ref())?,
        };
        let is_there = seen.is_some_and(|seen| seen.entry.is_some());
        Ok(if is_there { Outcome::Changed } else { Outcome::Added })
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
                    problems.push(format!("{file}: has the same key as {other}, and a bucket has one entry for it"));
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
    let users = read_users(path)?;
    let check = PushedCredentials::new("a check");
    for (name, hash) in &users {
        if !hash.starts_with('$') || check.put_user(name, hash).is_err() {
            let message = format!("{}: the password of {} is not hashed", escape::path(path), escape::text(name));
            return Err(Failure::new(format!("{message}; nothing was written")).hint(
                "NATS would hand it to every server in clear. Hash it: zmq-auth passwd FILE USER, with the same password.",
            ));
        }
    }
    Ok(users)
}

/// The users of a password file that the library accepts.
pub(crate) fn read_users(path: &Path) -> Result<Vec<(String, Zeroizing<String>)>, Failure> {
    const MAX_FILE: u64 = 16 * 1024 * 1024;
    PasswordFile::open(path)?;
    let content = file::read_regular(path, MAX_FILE)
        .map_err(|error| Failure::new(format!("{}: cannot read: {error}", escape::path(path))))?;
    let unreadable = |_| Failure::new(format!("{}: is not UTF-8", escape::path(path)));
    let text = std::str::from_utf8(&content).map_err(unreadable)?;
    let lines = text.trim_start_matches('\u{feff}').split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let users = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    Ok(users.map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned()))).collect())
}
