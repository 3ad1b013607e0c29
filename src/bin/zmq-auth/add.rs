//! `zmq-auth add`: a client's public certificate into a server's directory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use zmq_auth::{Certificate, PublicKey};

use crate::bucket::{self, BucketOptions};
use crate::output::{Exit, Failure, Output};
use crate::validity::{State, Validity};
use crate::{directory, escape, file, keygen, ls};

/// Add a client's public certificate to a server's directory, or its key to a NATS bucket
///
/// A file with a secret key is refused, because that key must stay on the client's machine. A certificate that --force
/// replaces is moved to the directory's `revoked`, which no server reads. A bucket gets the key with the certificate's
/// metadata; if that has no field `name`, it gets the file's name. Only with --force does this undo what somebody else has
/// done with the key, such as revoking it.
#[derive(Args)]
#[command(
    override_usage = "zmq-auth add [OPTIONS] DIR FILE\n       \
                      zmq-auth add [OPTIONS] --nats URL --bucket NAME --domain DOMAIN FILE",
    after_help = "Examples:\n  zmq-auth add clients alice.key\n  \
                  zmq-auth add --nats nats://10.0.0.1 --bucket clients --domain lab --login admin.login alice.key"
)]
pub(crate) struct Add {
    /// The server's directory of clients; with --bucket, the client's public certificate
    #[arg(value_name = "DIR", required_unless_present = "key")]
    first: Option<PathBuf>,
    /// The client's public certificate
    #[arg(value_name = "FILE")]
    second: Option<PathBuf>,
    /// The name in the directory: NAME.key; by default that of FILE
    #[arg(long)]
    name: Option<String>,
    /// Replace a certificate of that name; add a key that already has another name, or one that has expired; in a bucket,
    /// change a key's entry, or add a key that was revoked
    #[arg(long)]
    force: bool,
    /// With --bucket, this key (Z85) instead of a certificate
    #[arg(long, requires = "bucket", conflicts_with = "first", value_parser = ls::key, allow_hyphen_values = true)]
    key: Option<PublicKey>,
    /// With --key, metadata such as name=Alice; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", requires = "key", value_parser = keygen::entry)]
    metadata: Vec<(String, String)>,
    /// With --bucket, write the entry only if its last change has this revision
    #[arg(long, value_name = "N", requires = "bucket")]
    revision: Option<u64>,
    #[command(flatten)]
    bucket: BucketOptions,
}

const USAGE: &str = "Write: zmq-auth add DIR FILE, or zmq-auth add --nats URL --bucket NAME --domain DOMAIN FILE.";

#[derive(Serialize)]
struct Added {
    /// The file in the directory.
    #[serde(serialize_with = "escape::json")]
    file: PathBuf,
    /// Z85.
    public_key: String,
    /// `valid`, `not-yet-valid` or `expired`.
    state: State,
    /// Where the certificate that had this name before is now, if there was one.
    #[serde(serialize_with = "escape::json_option")]
    replaced: Option<PathBuf>,
    /// Other files of the directory with this key.
    same_key: Vec<String>,
}

impl Add {
    pub(crate) fn run(mut self, output: &Output) -> Result<Exit, Failure> {
        let (directory, file) = match self.first.take() {
            Some(first) => {
                let (directory, file) = self.bucket.split(first, self.second.take(), USAGE)?;
                (directory, Some(file))
            }
            None => (None, None),
        };
        let certificate = match (&file, &self.key) {
            (Some(file), _) => Certificate::load(file)?,
            (None, Some(key)) => bucket::certificate(key, &self.metadata)?,
            (None, None) => return Err(Failure::usage("no certificate given").hint(USAGE)),
        };
        let file = file.unwrap_or_else(|| PathBuf::from("the certificate"));
        let (validity, now) = self.check(&certificate, &file)?;
        let Some(directory) = directory else {
            let certificate = self.named(certificate, &file)?;
            let validity = (validity.state(now), validity.words(now));
            let (key, metadata, bucket) = (certificate.public_key(), certificate.metadata(), self.bucket.open()?);
            return bucket.add(&key, metadata, validity, self.force, self.revision, output);
        };
        self.add_to(&directory, &file, &certificate, (validity, now), output)
    }

    /// Fails for a certificate that a server must not have or doesn't accept.
    fn check(&self, certificate: &Certificate, file: &Path) -> Result<(Validity, Timestamp), Failure> {
        let shown = escape::path(file);
        if certificate.key_pair().is_some() {
            let failure = Failure::new(format!("{shown} contains a secret key, which a server must not have"));
            return Err(failure.hint(format!(
                "Add the public file instead. To make one: zmq-auth convert {} --to pyzmq -o NAME.key\nIf the secret key came \
                 from another machine, make a new pair there: others may have seen this one.",
                escape::shell(file)
            )));
        }
        let validity = Validity::of(certificate.metadata()).map_err(|problem| {
            Failure::new(format!("{shown}: {problem}")).hint("A server would refuse it. Correct the file first.")
        })?;
        let now = Timestamp::now();
        if validity.state(now) == State::Expired && !self.force {
            return Err(Failure::new(format!("{shown}: {}; no server accepts it", validity.words(now)))
                .hint("Get a new certificate from its owner, or add this one anyway with --force."));
        }
        Ok((validity, now))
    }

    /// Adds a name for people to the metadata, since a bucket's entry has no file name.
    fn named(&self, certificate: Certificate, file: &Path) -> Result<Certificate, Failure> {
        if self.key.is_some() && self.name.is_none()
            || self.name.is_none() && certificate.metadata().get("name").is_some()
        {
            return Ok(certificate);
        }
        Ok(certificate.without_metadata("name").with_metadata("name", self.certificate_name(file)?)?)
    }

    fn add_to(
        &self,
        directory: &Path,
        file: &Path,
        certificate: &Certificate,
        (validity, now): (Validity, Timestamp),
        output: &Output,
    ) -> Result<Exit, Failure> {
        file::require_directory(directory)?;
        let state = validity.state(now);
        let name = self.certificate_name(file)?;
        let file_name = OsString::from(format!("{name}.key"));
        let path = directory.join(&file_name);
        let text = certificate.public_text()?;

        let _lock = file::lock(directory)?;
        let is_there = std::fs::symlink_metadata(&path).is_ok();
        if is_there && !self.force {
            return Err(file::exists(&path));
        }
        let key = certificate.public_key();
        let same_key: Vec<_> = directory::read(directory)?
            .into_iter()
            .filter(|entry| entry.file != file_name && entry.has_key(&key))
            .map(|entry| entry.name())
            .collect();
        if !same_key.is_empty() && !self.force {
            let failure = Failure::new(format!("the directory already has this key, as {}", same_key.join(", ")));
            return Err(failure.hint("To add it under this name too, use --force."));
        }
        let replaced = file::uninterrupted(|| {
            let keep = || directory::keep_copy(directory, &file_name);
            let replaced = is_there.then(keep).transpose().map_err(|error| {
                Failure::new(format!("{}: cannot keep the old certificate: {error}", escape::path(&path)))
            })?;
            let put = if self.force {
                file::replace(&path, text.as_bytes(), 0o644)
            } else {
                file::create(&path, text.as_bytes(), 0o644, None)
            };
            put.inspect_err(|_| {
                if let Some(copy) = &replaced {
                    let _ = std::fs::remove_file(copy);
                }
            })?;
            Ok::<_, Failure>(replaced)
        })?;

        let added = Added { file: path, public_key: key.to_string(), state, replaced, same_key };
        let undo = match &added.replaced {
            Some(old) => format!("mv {} {}", escape::shell(old), escape::shell(&added.file)),
            // Not `revoke`, which would also remove the key's other files.
            None if !added.same_key.is_empty() => format!("rm {}", escape::shell(&added.file)),
            None => {
                format!("zmq-auth revoke {} {}", escape::shell(directory), escape::shell(name.as_ref()))
            }
        };
        output.write(&added, |out| {
            writeln!(out, "{}: {}", escape::path(&added.file), added.public_key)?;
            if state != State::Valid {
                writeln!(out, "It is {}.", validity.words(now))?;
            }
            if !added.same_key.is_empty() {
                writeln!(out, "The directory also has this key as {}.", added.same_key.join(", "))?;
            }
            if let Some(old) = &added.replaced {
                writeln!(out, "The replaced certificate is kept as {}", escape::path(old))?;
            }
            let reads = if state == State::Valid { "accepts" } else { "reads" };
            writeln!(
                out,
                "A server that watches the directory {reads} it within a second; any other, at its next reload."
            )?;
            writeln!(out, "Undo: {undo}")
        })?;
        Ok(Exit::Done)
    }

    /// The file's name without `.key`. czmq's files have no extension.
    fn certificate_name(&self, file: &Path) -> Result<String, Failure> {
        let name = match &self.name {
            Some(name) => name.as_str(),
            None => file.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
                Failure::usage(format!("the name of {} is not valid UTF-8", escape::path(file)))
                    .hint("Give one with --name.")
            })?,
        };
        let name = name.strip_suffix(".key").unwrap_or(name);
        directory::check_name(name)?;
        Ok(name.to_owned())
    }
}
