//! `zmq-auth export`: writes the keys and users of a NATS bucket as files, for a server without NATS.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;
use zmq_auth::{BucketEntry, Metadata, Password, PublicKey, zeroize};

use crate::bucket::{self, BucketOptions, Place, failure};
use crate::output::{Exit, Failure, Output, note};
use crate::{directory, escape, file, import};

/// Write the keys of a bucket of NATS as certificates into a directory, and its users into a password file
///
/// A server that reads such files accepts whom the bucket has. What the files have besides is reported, and taken out with
/// --prune: certificates go into the directory's `revoked`. What is the same already isn't touched.
#[derive(Args)]
#[command(after_help = "Example:\n  \
        zmq-auth export --nats nats://10.0.0.1 --bucket clients --domain lab --login admin.login clients --prune\n\n\
        Exit codes: 0 the files have what the bucket has, and no more; 1 they have more, or it failed.")]
pub(crate) struct Export {
    /// The directory of certificates, which is made where there is none
    #[arg(value_name = "DIR", required_unless_present = "passwords")]
    directory: Option<PathBuf>,
    /// The password file
    #[arg(long, value_name = "FILE")]
    passwords: Option<PathBuf>,
    /// Take out what the bucket doesn't have
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    bucket: BucketOptions,
}

#[derive(Serialize)]
struct Exported {
    #[serde(flatten)]
    place: Place,
    /// The files and users that were added.
    added: Vec<String>,
    changed: Vec<String>,
    unchanged: usize,
    /// With --prune, what was taken out.
    removed: Vec<String>,
    /// The files and users that aren't in the bucket.
    left: Vec<String>,
    /// Entries that can't be written to a file, in words.
    problems: Vec<String>,
}

impl Export {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let bucket = self.bucket.open()?;
        let entries = bucket.writer.entries(&bucket.domain).map_err(failure)?;
        let mut exported = Exported {
            place: bucket.place(),
            added: vec![],
            changed: vec![],
            unchanged: 0,
            removed: vec![],
            left: vec![],
            problems: vec![],
        };
        let (mut keys, mut users) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                BucketEntry::Key { key, metadata, .. } => keys.push((key, metadata)),
                BucketEntry::User { name, hash, .. } => users.push((name, hash)),
                BucketEntry::Unreadable { name, problem, .. } => exported.problems.push(format!("{name} {problem}")),
                _ => {}
            }
        }
        if let Some(directory) = &self.directory {
            exported.keys(directory, keys, self.prune)?;
        }
        if let Some(file) = &self.passwords {
            exported.users(file, users, self.prune)?;
        }
        for names in [&mut exported.added, &mut exported.changed, &mut exported.removed, &mut exported.left] {
            names.sort();
        }
        output.write(&exported, |out| {
            let Exported { added, changed, unchanged, removed, left, problems, .. } = &exported;
            let words = [("added", added), ("changed", changed), ("taken out", removed), ("not in the bucket", left)];
            for (word, names) in words.into_iter().filter(|(_, names)| !names.is_empty()) {
                writeln!(
                    out,
                    "{word}: {}",
                    names.iter().map(|name| escape::text(name)).collect::<Vec<_>>().join(", ")
                )?;
            }
            writeln!(out, "{unchanged} were the same")?;
            problems.iter().try_for_each(|problem| writeln!(out, "problem: {}", escape::text(problem)))
        })?;
        if !exported.left.is_empty() {
            note("warning: a server that reads these files accepts more than the bucket has; --prune takes it out");
        }
        let is_same = exported.left.is_empty() && exported.problems.is_empty();
        Ok(if is_same { Exit::Done } else { Exit::Found })
    }
}

impl Exported {
    fn keys(&mut self, directory: &Path, keys: Vec<(PublicKey, Metadata)>, prune: bool) -> Result<(), Failure> {
        fs::create_dir_all(directory)
            .map_err(|error| Failure::new(format!("{}: cannot make it: {error}", escape::path(directory))))?;
        let _lock = file::lock(directory)?;
        let there = directory::read(directory)?;
        let mut taken: HashSet<OsString> = there.iter().map(|entry| entry.file.clone()).collect();
        let mut known: HashMap<PublicKey, Vec<&directory::Entry>> = HashMap::new();
        for entry in &there {
            match &entry.certificate {
                Ok(certificate) => known.entry(certificate.public_key()).or_default().push(entry),
                Err(error) => self.problems.push(format!("{}: {}", entry.name(), directory::reason(error))),
            }
        }
        for (key, metadata) in &keys {
            let pairs: Vec<_> = metadata.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let text = match bucket::certificate(key, &pairs).and_then(|certificate| Ok(certificate.public_text()?)) {
                Ok(text) => text,
                Err(problem) => {
                    self.problems.push(format!("{key}: no certificate can say what its entry says: {problem}"));
                    continue;
                }
            };
            for entry in known.get(key).into_iter().flatten() {
                let is_same = entry.certificate.as_ref().is_ok_and(|certificate| certificate.metadata() == metadata);
                if is_same {
                    self.unchanged += 1;
                } else {
                    let kept = directory::keep_copy(directory, &entry.file);
                    kept.map_err(|error| Failure::new(format!("{}: cannot keep the old one: {error}", entry.name())))?;
                    file::replace(&directory.join(&entry.file), text.as_bytes(), 0o644)?;
                    self.changed.push(entry.name());
                }
            }
            if !known.contains_key(key) {
                let name = free_name(key, metadata, &mut taken);
                file::create(&directory.join(&name), text.as_bytes(), 0o644, None)?;
                self.added.push(name);
            }
        }
        let wanted: HashSet<_> = keys.iter().map(|(key, _)| key).collect();
        for entry in known.iter().filter(|(key, _)| !wanted.contains(key)).flat_map(|(_, entries)| entries) {
            if prune {
                file::uninterrupted(|| directory::move_out(directory, &entry.file))
                    .map_err(|error| Failure::new(format!("{}: cannot move it away: {error}", entry.name())))?;
                self.removed.push(entry.name());
            } else {
                self.left.push(entry.name());
            }
        }
        Ok(())
    }

    fn users(&mut self, path: &Path, users: Vec<(String, Password)>, prune: bool) -> Result<(), Failure> {
        file::require_directory(file::directory(path))?;
        let _lock = file::lock(file::directory(path))?;
        let old = if path.exists() { import::read_users(path)? } else { Vec::new() };
        let before = self.done();
        let known: HashMap<&str, &str> = old.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut text = Zeroizing::new(String::with_capacity(1024 * (old.len() + users.len())));
        let mut line = |name: &str, value: &str| {
            for part in [name, "=", value, "\n"] {
                text.push_str(part);
            }
        };
        let wanted: HashSet<&str> = users.iter().map(|(name, _)| name.as_str()).collect();
        for (name, value) in old.iter().filter(|(name, _)| !wanted.contains(name.as_str())) {
            if prune {
                self.removed.push(name.clone());
            } else {
                self.left.push(name.clone());
                line(name, value);
            }
        }
        let mut users: Vec<_> = users.iter().collect();
        users.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, hash) in users {
            if name.contains(['=', '\n', '\r']) || name.starts_with('#') {
                self.problems.push(format!("no password file can have the user {name}"));
                continue;
            }
            let hash = std::str::from_utf8(hash.as_bytes()).unwrap_or_default();
            line(name, hash);
            match known.get(name.as_str()) {
                None => self.added.push(name.clone()),
                Some(old) if *old == hash => self.unchanged += 1,
                Some(_) => self.changed.push(name.clone()),
            }
        }
        if path.exists() && self.done() == before {
            return Ok(());
        }
        file::replace_owned(path, text.as_bytes(), 0o600, file::owner(path))
    }

    fn done(&self) -> usize {
        self.added.len() + self.changed.len() + self.removed.len()
    }
}

/// A free file name: from the entry's metadata, or else made from the key.
fn free_name(key: &PublicKey, metadata: &Metadata, taken: &mut HashSet<OsString>) -> String {
    let hex: String = key.as_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let name = metadata.get("name").filter(|name| directory::check_name(name).is_ok() && name.len() <= 200);
    let name = name.map_or_else(|| format!("key-{hex}"), str::to_owned);
    let mut file = format!("{name}.key");
    let mut number = 1;
    while !taken.insert(OsString::from(&file)) {
        number += 1;
        file = format!("{name}-{number}.key");
    }
    file
}
