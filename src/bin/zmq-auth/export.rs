//! `zmq-auth export`: writes the keys and users of a NATS bucket as files, for a server without NATS.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;
use zmq_auth::{BucketEntry, LastChange, Metadata, Password, PasswordFile, PublicKey, zeroize};

use crate::bucket::{self, Bucket, BucketOptions, Place, failure};
use crate::output::{Exit, Failure, Output, note};
use crate::{directory, escape, file, import};

/// Write the keys of a NATS bucket as certificates into a directory, and its users into a password file
///
/// A server that reads these files accepts the same keys and users as one that follows the bucket. Certificates and users
/// that the bucket doesn't have are reported; --prune removes them. Removed and replaced certificates are kept in the
/// directory's `revoked`, and the previous password file as FILE.old. All other lines of a password file stay.
#[derive(Args)]
#[command(after_help = "Example:\n  \
        zmq-auth export --nats nats://10.0.0.1 --bucket clients --domain lab --login admin.login clients --prune\n\n\
        Exit codes: 0 the files have exactly what the bucket has; 1 they differ, or it failed.")]
pub(crate) struct Export {
    /// The directory of certificates; it is created if it doesn't exist
    #[arg(value_name = "DIR", required_unless_present = "passwords")]
    directory: Option<PathBuf>,
    /// The password file
    #[arg(long, value_name = "FILE")]
    passwords: Option<PathBuf>,
    /// Remove what the bucket doesn't have. Refused if an entry of the domain can't be read, or if the domain is empty and
    /// never had any of these keys or users
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
    /// What --prune has removed.
    removed: Vec<String>,
    /// The files and users that aren't in the bucket.
    left: Vec<String>,
    /// Entries that can't be written to a file, in words.
    problems: Vec<String>,
    /// Where the previous password file is now.
    #[serde(serialize_with = "escape::json_option")]
    old_passwords: Option<PathBuf>,
}

/// How many keys or users are looked for in an empty domain.
const SAMPLE: usize = 1_000;

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
            old_passwords: None,
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
        if self.prune && !exported.problems.is_empty() {
            let problems = exported.problems.iter().map(|problem| escape::text(problem)).collect::<Vec<_>>();
            return Err(Failure::new(format!(
                "{} has entries that can't be read; nothing was changed",
                bucket.words()
            ))
            .hint(format!("Replace or remove them, or export without --prune:\n{}", problems.join("\n"))));
        }
        if let Some(directory) = &self.directory {
            exported.keys(&bucket, directory, &keys, self.prune)?;
        }
        if let Some(file) = &self.passwords {
            exported.users(&bucket, file, &users, self.prune)?;
        }
        for names in [&mut exported.added, &mut exported.changed, &mut exported.removed, &mut exported.left] {
            names.sort();
        }
        output.write(&exported, |out| {
            let Exported { added, changed, unchanged, removed, left, problems, .. } = &exported;
            let words = [("added", added), ("changed", changed), ("removed", removed), ("not in the bucket", left)];
            for (word, names) in words.into_iter().filter(|(_, names)| !names.is_empty()) {
                writeln!(
                    out,
                    "{word}: {}",
                    names.iter().map(|name| escape::text(name)).collect::<Vec<_>>().join(", ")
                )?;
            }
            writeln!(out, "{unchanged} unchanged")?;
            if let Some(old) = &exported.old_passwords {
                writeln!(out, "The previous password file is kept: {}", escape::path(old))?;
            }
            problems.iter().try_for_each(|problem| writeln!(out, "problem: {}", escape::text(problem)))
        })?;
        if !exported.left.is_empty() {
            note("warning: a server that reads these files accepts more than the bucket has; --prune removes it");
        }
        let is_same = exported.left.is_empty() && exported.problems.is_empty();
        Ok(if is_same { Exit::Done } else { Exit::Found })
    }
}

impl Exported {
    fn keys(
        &mut self,
        bucket: &Bucket,
        directory: &Path,
        keys: &[(PublicKey, Metadata)],
        prune: bool,
    ) -> Result<(), Failure> {
        fs::create_dir_all(directory)
            .map_err(|error| Failure::new(format!("{}: cannot create it: {error}", escape::path(directory))))?;
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
        if prune && keys.is_empty() {
            let changes = known.keys().map(|key| bucket.writer.last_change_of_key(&bucket.domain, key));
            require_known(bucket, directory, changes)?;
        }
        // Removed before anything else, which may fail.
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
        for (key, metadata) in keys {
            let pairs: Vec<_> = metadata.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let text = match bucket::certificate(key, &pairs).and_then(|certificate| Ok(certificate.public_text()?)) {
                Ok(text) => text,
                Err(problem) => {
                    self.problems.push(format!("{key}: no certificate can have the metadata of its entry: {problem}"));
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
        Ok(())
    }

    fn users(
        &mut self,
        bucket: &Bucket,
        path: &Path,
        users: &[(String, Password)],
        prune: bool,
    ) -> Result<(), Failure> {
        let path = &file::target(path)?;
        file::require_directory(file::directory(path))?;
        let _lock = file::lock(file::directory(path))?;
        let old = if path.exists() { import::read_password_file(path)? } else { Zeroizing::default() };
        if prune && users.is_empty() {
            let names = old.lines().filter_map(import::user).map(|(name, _)| name);
            let changes = names.map(|name| bucket.writer.last_change_of_user(&bucket.domain, name));
            require_known(bucket, path, changes)?;
        }
        let mut wanted = BTreeMap::new();
        for (name, hash) in users {
            match std::str::from_utf8(hash.as_bytes()) {
                Ok(hash) if can_have(name) => drop(wanted.insert(name.as_str(), hash)),
                _ => self.problems.push(format!("no password file can have the user {name}")),
            }
        }
        let text = self.merge(&old, wanted, prune);
        if path.exists() && text == old {
            return Ok(());
        }
        let owner = file::owner(path);
        if path.exists() {
            let mut kept = path.clone().into_os_string();
            kept.push(".old");
            file::replace_owned(kept.as_ref(), old.as_bytes(), 0o600, owner)?;
            self.old_passwords = Some(kept.into());
        }
        file::replace_owned(path, text.as_bytes(), 0o600, owner)
    }

    /// The password file with these users and their hashes. Comments, and the order of lines, stay.
    fn merge(&mut self, old: &str, mut wanted: BTreeMap<&str, &str>, prune: bool) -> Zeroizing<String> {
        let line_end = if old.contains("\r\n") { "\r\n" } else { "\n" };
        // Large enough from the start: a growing buffer would leave copies of hashes in memory.
        let new: usize = wanted.iter().map(|(name, hash)| name.len() + hash.len() + 4).sum();
        let mut text = Zeroizing::new(String::with_capacity(old.len() + new + line_end.len()));
        let mut push = |parts: &[&str]| parts.iter().for_each(|part| text.push_str(part));
        let lines = old.strip_prefix('\u{feff}').inspect(|_| push(&["\u{feff}"])).unwrap_or(old);
        for line in lines.split_inclusive('\n') {
            let Some((name, value)) = import::user(line) else {
                push(&[line]);
                continue;
            };
            match wanted.remove(name) {
                Some(hash) if hash == value => {
                    self.unchanged += 1;
                    push(&[line]);
                }
                Some(hash) => {
                    self.changed.push(name.to_owned());
                    push(&[name, "=", hash, line_end]);
                }
                None if prune => self.removed.push(name.to_owned()),
                None => {
                    self.left.push(name.to_owned());
                    push(&[line]);
                }
            }
        }
        if !lines.is_empty() && !lines.ends_with('\n') && !wanted.is_empty() {
            push(&[line_end]);
        }
        for (name, hash) in wanted {
            self.added.push(name.to_owned());
            push(&[name, "=", hash, line_end]);
        }
        text
    }
}

/// Before everything in a place is removed because the domain is empty: fails unless the domain had some of it. Its name
/// may be mistyped.
fn require_known(
    bucket: &Bucket,
    place: &Path,
    changes: impl Iterator<Item = zmq_auth::Result<Option<LastChange>>>,
) -> Result<(), Failure> {
    let mut is_empty = true;
    for change in changes.take(SAMPLE) {
        is_empty = false;
        if change.map_err(failure)?.is_some() {
            return Ok(());
        }
    }
    if is_empty {
        return Ok(());
    }
    let message = format!("{} is empty, and never had what {} has", bucket.words(), escape::path(place));
    Err(Failure::new(format!("{message}, which was not changed")).hint("Is it the right domain?"))
}

/// Whether a password file can have a user of this name. For an unusual name, the library is asked, which hashes a password.
fn can_have(name: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    name.bytes().all(is_usual) || PasswordFile::line(name, &Password::from("any")).is_ok()
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
