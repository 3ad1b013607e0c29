//! `zmq-auth revoke`: takes a certificate out of a server's directory.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::SignedDuration;
use serde::Serialize;
use zmq_auth::PublicKey;

use crate::bucket::BucketOptions;
use crate::directory::{self, Entry, REVOKED};
use crate::output::{Exit, Failure, Output, note};
use crate::{escape, file, time};

/// Remove a client's certificate from a server's directory, or its key from a NATS bucket
///
/// Every file with the same key is moved to the directory's `revoked`, which no server reads. From a bucket, the key is
/// removed even if somebody else changes it at that moment; then this waits until the servers that follow the bucket confirm
/// that they refuse it.
#[derive(Args)]
#[command(
    override_usage = "zmq-auth revoke [OPTIONS] DIR NAME\n       \
                      zmq-auth revoke [OPTIONS] --nats URL --bucket NAME --domain DOMAIN NAME",
    after_help = "Examples:\n  zmq-auth revoke clients mallory\n  \
                  zmq-auth revoke --nats nats://10.0.0.1 --bucket clients --domain lab --login admin.login mallory\n\n\
                  Exit codes with --bucket: 0 refused by every known server; 1 not by every one, or the command failed."
)]
pub(crate) struct Revoke {
    /// The server's directory of clients; with --bucket, the NAME
    #[arg(value_name = "DIR", allow_hyphen_values = true)]
    first: OsString,
    /// The certificate's file, with or without .key; or its public key in Z85; in a bucket also its metadata field `name`
    #[arg(value_name = "NAME", allow_hyphen_values = true)]
    second: Option<OsString>,
    /// With --bucket, how long to wait for the servers that follow it; 5s by default
    #[arg(long, value_name = "TIME", requires = "bucket", value_parser = time::span)]
    wait: Option<SignedDuration>,
    /// With --bucket, remove the key only if its last change has this revision
    #[arg(long, value_name = "N", requires = "bucket")]
    revision: Option<u64>,
    #[command(flatten)]
    bucket: BucketOptions,
}

const USAGE: &str =
    "Write: zmq-auth revoke DIR NAME, or zmq-auth revoke --nats URL --bucket NAME --domain DOMAIN NAME.";

/// A certificate of a directory.
struct FromDirectory {
    directory: PathBuf,
    name: String,
}

#[derive(Serialize)]
struct Revoked {
    /// Z85; null if the named file can't be read.
    public_key: Option<String>,
    moved: Vec<Moved>,
    /// Files that can't be read. A server that read them before may still accept their previous keys.
    unreadable: Vec<String>,
}

#[derive(Serialize)]
struct Moved {
    #[serde(serialize_with = "escape::json")]
    from: PathBuf,
    #[serde(serialize_with = "escape::json")]
    to: PathBuf,
}

impl Revoke {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let (directory, name) = self.bucket.split(self.first, self.second, USAGE)?;
        let name = name.into_string().map_err(|_| Failure::usage("the name is not valid UTF-8"))?;
        match directory {
            Some(directory) => FromDirectory { directory: directory.into(), name }.run(output),
            None => self.bucket.open()?.revoke(&name, self.revision, self.wait, output),
        }
    }
}

impl FromDirectory {
    fn run(self, output: &Output) -> Result<Exit, Failure> {
        file::require_directory(&self.directory)?;
        // Go on without the lock: anybody who can read the directory can hold it, and mustn't delay a revocation.
        let _lock = file::lock(&self.directory).inspect_err(|failure| {
            note(format_args!("note: {failure}; the key is revoked without waiting any longer"))
        });
        let entries = directory::read(&self.directory)?;
        let (key, files) = self.meant(&entries)?;
        let moved = file::uninterrupted(|| self.move_out(&files))?;
        let unreadable: Vec<_> = entries
            .iter()
            .filter(|entry| entry.certificate.is_err() && !files.contains(&&entry.file))
            .map(Entry::name)
            .collect();
        let revoked = Revoked { public_key: key.map(|key| key.to_string()), moved, unreadable };
        output.write(&revoked, |out| {
            match &revoked.public_key {
                Some(key) => writeln!(out, "revoked: {key}")?,
                None => writeln!(out, "revoked, but its key can't be read: other files may have the same one")?,
            }
            for Moved { from, to } in &revoked.moved {
                writeln!(out, "  {} is now {}", escape::path(from), escape::path(to))?;
            }
            writeln!(
                out,
                "A server that watches the directory refuses new handshakes within a second; any other, after its next reload.\n\
                 A connected client stays until the server checks it again (is_still_allowed) or ends the connection\n\
                 (Connection::disconnect)."
            )?;
            for Moved { from, to } in &revoked.moved {
                writeln!(out, "Undo: mv {} {}", escape::shell(to), escape::shell(from))?;
            }
            Ok(())
        })?;
        if !revoked.unreadable.is_empty() {
            note(format_args!(
                "warning: these files can't be read; a server that read them before may still accept the keys that they \
                 had: {}",
                revoked.unreadable.join(", ")
            ));
        }
        Ok(if revoked.unreadable.is_empty() && revoked.public_key.is_some() { Exit::Done } else { Exit::Found })
    }

    /// The key with this name, and the files to move.
    fn meant<'e>(&self, entries: &'e [Entry]) -> Result<(Option<PublicKey>, Vec<&'e OsString>), Failure> {
        let is_named = |entry: &&Entry| {
            entry.file.to_str().is_some_and(|file| file == self.name || file.strip_suffix(".key") == Some(&self.name))
        };
        let with_key = |key: &PublicKey| -> Vec<_> {
            entries.iter().filter(|entry| entry.has_key(key)).map(|entry| &entry.file).collect()
        };
        if let Some(named) = entries.iter().find(is_named) {
            return Ok(match &named.certificate {
                Ok(certificate) => (Some(certificate.public_key()), with_key(&certificate.public_key())),
                // While the file is there, a server may still accept its previous key.
                Err(_) => (None, vec![&named.file]),
            });
        }
        if let Ok(key) = self.name.parse::<PublicKey>() {
            let files = with_key(&key);
            if !files.is_empty() {
                return Ok((Some(key), files));
            }
        }
        let (name, directory) = (escape::text(&self.name), escape::path(&self.directory));
        Err(Failure::new(format!("{directory} has no certificate with that name or key: {name}; nothing was changed"))
            .hint(format!("To list them: zmq-auth ls {}", escape::shell(&self.directory))))
    }

    /// Moves all files, or none.
    fn move_out(&self, files: &[&OsString]) -> Result<Vec<Moved>, Failure> {
        let mut moved: Vec<Moved> = Vec::with_capacity(files.len());
        for file in files {
            let from = self.directory.join(file);
            match directory::move_out(&self.directory, file) {
                Ok(to) => moved.push(Moved { from, to }),
                Err(error) => {
                    let back = |Moved { from, to }: &Moved| drop(fs::rename(to, from));
                    moved.iter().rev().for_each(back);
                    let place = escape::path(&self.directory.join(REVOKED));
                    let message = format!("{}: cannot move it to {place}: {error}", escape::path(&from));
                    return Err(Failure::new(message).hint("Nothing was changed: the key is still in the directory."));
                }
            }
        }
        sync(&self.directory);
        Ok(moved)
    }
}

/// Syncs the directory, if the file system can, so that a revoked key doesn't come back after a power cut.
fn sync(directory: &Path) {
    let _ = fs::File::open(directory).and_then(|directory| directory.sync_all());
}
