//! `zmq-auth ls`: lists the certificates of a server's directory.

use std::collections::HashMap;
use std::path::PathBuf;

use anstyle::AnsiColor;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use zmq_auth::{Certificate, PublicKey};

use crate::bucket::BucketOptions;
use crate::directory::{self, Entry};
use crate::output::{Exit, Failure, Output, note};
use crate::validity::{NOT_AFTER, NOT_BEFORE, State, Validity};
use crate::{escape, file};

/// List the certificates of a directory or the entries of a NATS bucket, or find a key
///
/// For a directory, one line for each file that a server reads: its name, public key, validity, metadata and problems. For
/// a bucket, one line for each key and user of the domain.
#[derive(Args)]
#[command(
    override_usage = "zmq-auth ls [OPTIONS] DIR\n       zmq-auth ls [OPTIONS] --nats URL --bucket NAME --domain DOMAIN",
    after_help = "Examples:\n  zmq-auth ls clients --key 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7'\n  \
                  zmq-auth ls --nats nats://10.0.0.1 --bucket clients --domain lab --login admin.login"
)]
pub(crate) struct Ls {
    /// The server's directory of clients
    #[arg(value_name = "DIR", required_unless_present = "bucket", conflicts_with = "bucket")]
    directory: Option<PathBuf>,
    /// Only the files with this public key (Z85): exit code 0, or 1 if there is none
    #[arg(long, value_parser = key, allow_hyphen_values = true)]
    key: Option<PublicKey>,
    #[command(flatten)]
    bucket: BucketOptions,
}

#[derive(Serialize)]
struct Listing {
    certificates: Vec<Listed>,
}

#[derive(Serialize)]
pub(crate) struct Listed {
    /// The file's name.
    file: String,
    /// Z85; null if the file can't be read.
    public_key: Option<String>,
    /// `valid`, `not-yet-valid` or `expired`; null if that isn't known.
    state: Option<State>,
    not_before: Option<String>,
    not_after: Option<String>,
    metadata: serde_json::Map<String, serde_json::Value>,
    /// The file's problems, in words.
    problems: Vec<String>,
    #[serde(skip)]
    validity: Option<String>,
}

impl Ls {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let Some(directory) = &self.directory else { return self.bucket.open()?.list(self.key.as_ref(), output) };
        self.bucket.require_none()?;
        file::require_directory(directory)?;
        let entries = directory::read(directory)?;
        let mut first: HashMap<PublicKey, &Entry> = HashMap::with_capacity(entries.len());
        let now = Timestamp::now();
        let mut certificates = Vec::new();
        for entry in &entries {
            let key = entry.certificate.as_ref().ok().map(Certificate::public_key);
            let twin = key.map(|key| *first.entry(key).or_insert(entry)).filter(|twin| twin.file != entry.file);
            if self.key.is_none() || self.key == key {
                certificates.push(Listed::new(entry, twin, now));
            }
        }
        let found = self.key.is_none() || !certificates.is_empty();
        let listing = Listing { certificates };
        let width = listing.certificates.iter().map(|listed| listed.file.chars().count()).max().unwrap_or(0).min(40);
        output.write(&listing, |out| listing.certificates.iter().try_for_each(|listed| listed.write(out, width)))?;
        if !found {
            note(format_args!("no certificate in {} has this key", escape::path(directory)));
        }
        Ok(if found { Exit::Done } else { Exit::Found })
    }
}

impl Listed {
    /// `twin` is an earlier file with the same key.
    fn new(entry: &Entry, twin: Option<&Entry>, now: Timestamp) -> Self {
        let mut listed = Listed {
            file: entry.file.to_string_lossy().into_owned(),
            public_key: None,
            state: None,
            not_before: None,
            not_after: None,
            metadata: serde_json::Map::new(),
            problems: Vec::new(),
            validity: None,
        };
        let certificate = match &entry.certificate {
            Ok(certificate) => certificate,
            Err(error) => {
                listed.problems.push(directory::reason(error));
                return listed;
            }
        };
        listed.public_key = Some(certificate.public_key().to_string());
        for (name, value) in certificate.metadata().iter() {
            listed.metadata.insert(name.into(), value.into());
        }
        let time = |name| certificate.metadata().get(name).map(str::to_owned);
        (listed.not_before, listed.not_after) = (time(NOT_BEFORE), time(NOT_AFTER));
        if let Ok(validity) = Validity::of(certificate.metadata()) {
            listed.state = Some(validity.state(now));
            listed.validity = Some(validity.words(now));
        }
        listed.problems = directory::problems(certificate, entry.mode);
        if certificate.key_pair().is_some() {
            listed.problems.push("has a secret key, which a server must not have: its owner needs a new pair".into());
        }
        if let Some(twin) = twin {
            listed.problems.push(format!("has the same key as {}", twin.file.to_string_lossy()));
        }
        listed
    }

    fn write(&self, out: &mut dyn std::io::Write, width: usize) -> std::io::Result<()> {
        let red = AnsiColor::Red.on_default();
        let yellow = AnsiColor::Yellow.on_default();
        let key = self.public_key.as_deref().unwrap_or("-");
        write!(out, "{:width$}  {key:40}", escape::text(&self.file))?;
        match &self.validity {
            Some(words) if self.state == Some(State::Valid) => write!(out, "  {words}")?,
            Some(words) => write!(out, "  {yellow}{words}{yellow:#}")?,
            None => {}
        }
        for (name, value) in self.metadata.iter().filter(|(name, _)| *name != NOT_BEFORE && *name != NOT_AFTER) {
            let value = value.as_str().unwrap_or_default();
            match value.contains(char::is_whitespace) || value.is_empty() {
                true => write!(out, "  {}=\"{}\"", escape::text(name), escape::text(value))?,
                false => write!(out, "  {}={}", escape::text(name), escape::text(value))?,
            }
        }
        for problem in &self.problems {
            write!(out, "  {red}problem: {}{red:#}", escape::text(problem))?;
        }
        writeln!(out)
    }
}

pub(crate) fn key(text: &str) -> Result<PublicKey, String> {
    text.parse::<PublicKey>().map_err(|error| error.to_string())
}
