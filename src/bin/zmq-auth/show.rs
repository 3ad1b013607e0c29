//! `zmq-auth show`: shows the content of a certificate file.

use std::path::PathBuf;

use anstyle::AnsiColor;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use zmq_auth::Certificate;

use crate::output::{Exit, Failure, Output};
use crate::validity::{NOT_AFTER, NOT_BEFORE, State, Validity};
use crate::{directory, escape};

/// Show the content of a certificate, and the problems of its file
///
/// A secret key is never shown, only whether there is one.
#[derive(Args)]
#[command(after_help = "Example:\n  zmq-auth show server.key_secret")]
pub(crate) struct Show {
    /// A certificate, public or secret
    file: PathBuf,
}

#[derive(Serialize)]
struct Shown {
    #[serde(serialize_with = "escape::json")]
    file: PathBuf,
    /// Z85.
    public_key: String,
    has_secret_key: bool,
    /// `valid`, `not-yet-valid` or `expired`; null if the times can't be read.
    state: Option<State>,
    not_before: Option<String>,
    not_after: Option<String>,
    metadata: serde_json::Map<String, serde_json::Value>,
    /// The file's permissions in octal, such as `600`.
    mode: Option<String>,
    /// The file's problems, in words.
    problems: Vec<String>,
}

impl Show {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let certificate = Certificate::load(&self.file)?;
        let mode = directory::mode(&self.file);
        let now = Timestamp::now();
        let validity = Validity::of(certificate.metadata()).ok();
        let time = |name| certificate.metadata().get(name).map(str::to_owned);
        let metadata = certificate.metadata().iter().map(|(name, value)| (name.to_owned(), value.into()));
        let shown = Shown {
            public_key: certificate.public_key().to_string(),
            has_secret_key: certificate.key_pair().is_some(),
            state: validity.map(|validity| validity.state(now)),
            not_before: time(NOT_BEFORE),
            not_after: time(NOT_AFTER),
            metadata: metadata.collect(),
            mode: mode.map(|mode| format!("{mode:03o}")),
            problems: directory::problems(&certificate, mode),
            file: self.file,
        };
        let red = AnsiColor::Red.on_default();
        output.write(&shown, |out| {
            writeln!(out, "file        {}", escape::path(&shown.file))?;
            writeln!(out, "public key  {}", shown.public_key)?;
            writeln!(out, "secret key  {}", if shown.has_secret_key { "there (not shown)" } else { "none" })?;
            if let Some(validity) = validity {
                writeln!(out, "validity    {}", validity.words(now))?;
            }
            for (place, (name, value)) in shown.metadata.iter().enumerate() {
                let head = if place == 0 { "metadata" } else { "" };
                writeln!(
                    out,
                    "{head:12}{} = {}",
                    escape::text(name),
                    escape::text(value.as_str().unwrap_or_default())
                )?;
            }
            if let Some(mode) = &shown.mode {
                writeln!(out, "mode        {mode}")?;
            }
            shown
                .problems
                .iter()
                .try_for_each(|problem| writeln!(out, "{red}problem     {}{red:#}", escape::text(problem)))
        })?;
        Ok(Exit::Done)
    }
}
