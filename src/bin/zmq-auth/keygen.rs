//! `zmq-auth keygen`: makes key pairs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;
use zmq_auth::{Certificate, Metadata};

use crate::output::{Exit, Failure, Output, note};
use crate::validity::{self, NOT_AFTER, NOT_BEFORE, State, Validity};
use crate::{directory, escape, file, time};

/// Make a key pair, and print its public key
///
/// NAME.key has the public key, which may be shown to everybody. NAME.key_secret has both keys, and only its owner can read
/// it (mode 600). The files are the same as pyzmq's, except that metadata is in the public one too, so that servers see it.
#[derive(Args)]
#[command(after_help = "Example:\n  zmq-auth keygen alice -m name=Alice --not-after 365d")]
pub(crate) struct Keygen {
    /// The name of the files: NAME.key and NAME.key_secret
    name: String,
    /// The directory for the files
    #[arg(short, long = "output", value_name = "DIR", default_value = ".")]
    output_directory: PathBuf,
    /// The certificate's metadata, such as name=Alice; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = entry)]
    metadata: Vec<(String, String)>,
    /// When the certificate becomes valid: 2027-01-31T00:00:00Z, 2027-01-31, or 30d for 30 days from now
    #[arg(long, value_name = "TIME", value_parser = time::point)]
    not_before: Option<Timestamp>,
    /// When the certificate expires
    #[arg(long, value_name = "TIME", value_parser = time::point)]
    not_after: Option<Timestamp>,
    /// Make N pairs, NAME-1 and so on, with leading zeros so that all names have the same length
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: Option<u32>,
    /// Replace existing files
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Made {
    /// The pairs, in the order of their numbers.
    certificates: Vec<Pair>,
}

#[derive(Serialize)]
struct Pair {
    /// The files' name, without the extension.
    name: String,
    /// Z85.
    public_key: String,
    #[serde(serialize_with = "escape::json")]
    public_file: PathBuf,
    #[serde(serialize_with = "escape::json")]
    secret_file: PathBuf,
}

impl Keygen {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        directory::check_name(&self.name)?;
        let metadata = self.all_metadata()?;
        file::require_directory(&self.output_directory)?;
        let names = self.names();
        if !self.force {
            names.iter().try_for_each(|name| self.require_free(name))?;
        }
        let mut made = Made { certificates: Vec::with_capacity(names.len()) };
        let progress = Progress::new(names.len());
        for name in names {
            let pair = self.make(&name, &metadata).map_err(|failure| match made.certificates.len() {
                0 => failure,
                count => failure.hint(format!("Pairs made before this error, which can be used: {count}.")),
            })?;
            made.certificates.push(pair);
            progress.step();
        }
        progress.end();
        output.write(&made, |out| match &made.certificates[..] {
            [pair] if self.count.is_none() => writeln!(out, "{}", pair.public_key),
            pairs => pairs.iter().try_for_each(|pair| writeln!(out, "{}  {}", pair.name, pair.public_key)),
        })?;
        if let [pair] = &made.certificates[..]
            && !output.json
        {
            let (public, secret) = (escape::path(&pair.public_file), escape::path(&pair.secret_file));
            note(format_args!("Give {public} to the other side. Only the owner of the key may have {secret}."));
        }
        Ok(Exit::Done)
    }

    fn all_metadata(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut all = self.metadata.clone();
        for (place, (name, value)) in self.metadata.iter().enumerate() {
            if name == NOT_BEFORE || name == NOT_AFTER {
                return Err(
                    Failure::usage(format!("-m {name}=… does not set a time")).hint(format!("Use --{name} {value:?}."))
                );
            }
            if self.metadata[..place].iter().any(|(other, _)| other == name) {
                return Err(Failure::usage(format!("-m {name}=… is given twice")));
            }
            if Metadata::default().insert(name.clone(), value.clone()).is_err() {
                note(format_args!("note: libzmq reserves the metadata name {name:?}: no server passes it on"));
            }
        }
        let validity = Validity { not_before: self.not_before, not_after: self.not_after };
        if self.not_before.zip(self.not_after).is_some_and(|(from, until)| from > until) {
            return Err(Failure::usage("--not-after is before --not-before"));
        }
        if validity.state(Timestamp::now()) == State::Expired {
            note("note: --not-after is in the past: no server will accept this certificate");
        }
        let times = [(NOT_BEFORE, self.not_before), (NOT_AFTER, self.not_after)];
        let times = times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), validity::rfc_3339(time?))));
        all.extend(times);
        Ok(all)
    }

    fn names(&self) -> Vec<String> {
        let Some(count) = self.count else { return vec![self.name.clone()] };
        let width = count.to_string().len();
        (1..=count).map(|number| format!("{}-{number:0width$}", self.name)).collect()
    }

    /// The directory; empty instead of `.`, which would otherwise precede every file name in the output.
    fn directory(&self) -> &Path {
        if self.output_directory == Path::new(".") { Path::new("") } else { &self.output_directory }
    }

    /// Fails if a file is in the way. Checked for all pairs before any is made.
    fn require_free(&self, name: &str) -> Result<(), Failure> {
        let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
        for ending in ["key", "key_secret"] {
            let path = self.directory().join(format!("{name}.{ending}"));
            if is_there(&path) {
                return Err(file::exists(&path));
            }
        }
        Ok(())
    }

    fn make(&self, name: &str, metadata: &[(String, String)]) -> Result<Pair, Failure> {
        let certificate = metadata
            .iter()
            .try_fold(Certificate::generate()?, |certificate, (name, value)| certificate.with_metadata(name, value))?;
        let directory = self.directory();
        let saved = file::uninterrupted(|| match (self.force, metadata.is_empty()) {
            (false, true) => certificate.save_pair(directory, name),
            (false, false) => certificate.save_full_pair(directory, name),
            (true, true) => certificate.replace_pair(directory, name),
            (true, false) => certificate.replace_full_pair(directory, name),
        });
        let (public_file, secret_file) = saved.map_err(file::not_saved)?;
        Ok(Pair { name: name.to_owned(), public_key: certificate.public_key().to_string(), public_file, secret_file })
    }
}

/// A progress bar on a terminal, once the work has taken a while.
struct Progress {
    bar: ProgressBar,
    begin: Instant,
}

impl Progress {
    /// Draws without a thread: that would receive the signals which are blocked while files are written.
    fn new(count: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {eta} left");
        Progress { bar: style.map_or(bar.clone(), |style| bar.with_style(style)), begin: Instant::now() }
    }

    fn step(&self) {
        if self.bar.is_hidden() && self.begin.elapsed() > Duration::from_millis(500) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        self.bar.inc(1);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

pub(crate) fn entry(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("there is no =: write KEY=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
