//! `zmq-auth lint`: lists all problems of certificates, directories of them, password files and policy files.

mod access;
mod certificate;
mod compare;
mod passwords;
mod paths;
mod policy;
mod problem;

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::output::{Exit, Failure, Output};
use crate::time;
use certificate::Checked;
use paths::{Kind, Listed};
use problem::{Level, Problem};

/// Check certificates, directories of them, password files and policy files, and list every problem
///
/// A directory is checked as a server's directory of client certificates: its files NAME.key are read, and there are warnings
/// about all others. A file NAME.toml is a policy file, and the files that it names are checked too. A file is a certificate
/// if it is named NAME.key or NAME.key_secret, or if it can be read as one; any other is a password file, with lines
/// name=password. If NAME.key and NAME.key_secret are both among the files, in one directory or in several, their keys are
/// compared. The content of a file is never shown.
#[derive(Args)]
#[command(after_help = "Example:\n  zmq-auth lint /etc/shop/policy.toml /etc/shop/server.key_secret\n\n\
                        Exit codes: 0 no errors (there may be warnings), 1 errors.")]
pub(crate) struct Lint {
    /// Policy files, directories of certificates, certificates and password files
    #[arg(value_name = "PATH", required_unless_present = "passwords")]
    paths: Vec<PathBuf>,
    /// A password file, regardless of its name and content
    #[arg(long, value_name = "FILE")]
    passwords: Vec<PathBuf>,
    /// Warn about certificates that expire within this time
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = time::span)]
    soon: SignedDuration,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    /// The number of files read.
    files: usize,
    /// The number of errors.
    errors: usize,
    /// The number of warnings.
    warnings: usize,
    /// Sorted by the order of the given paths, then by file name and line.
    problems: Vec<Problem>,
}

/// The times that certificates are compared with.
#[derive(Clone, Copy)]
struct Times {
    now: Timestamp,
    soon: Timestamp,
}

impl Lint {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let now = Timestamp::now();
        let soon = now.checked_add(self.soon).unwrap_or(Timestamp::MAX);
        let Listed { files, mut problems } = paths::list(&self.paths, &self.passwords);
        let checked = check_all(&files, Times { now, soon });
        problems.extend(compare::compare(&files, &checked));
        problems.extend(checked.into_iter().flat_map(|checked| checked.problems));
        problems.sort_by(Problem::compare);
        // Files given one by one may each report their common directory: keep one.
        let mut seen = HashSet::new();
        problems.retain(|problem| seen.insert((problem.file.clone(), problem.line, problem.text.clone())));

        let errors = problems.iter().filter(|problem| problem.level == Level::Error).count();
        let report = Report { files: files.len(), errors, warnings: problems.len() - errors, problems };
        output.write(&report, |out| report.write_text(out))?;
        Ok(if errors == 0 { Exit::Done } else { Exit::Found })
    }
}

/// Checks the files on several threads, and returns the results in their order.
fn check_all(files: &[paths::File], times: Times) -> Vec<Checked> {
    /// The number of files that is worth a thread.
    const FILES_PER_THREAD: usize = 500;
    const MAX_THREADS: usize = 8;
    let progress = progress(files.len());
    let check = |files: &[paths::File]| -> Vec<Checked> {
        let check_batch = |batch: &[paths::File]| {
            let checked: Vec<_> = batch.iter().map(|file| check_file(file, times)).collect();
            progress.inc(batch.len() as u64);
            checked
        };
        files.chunks(64).flat_map(check_batch).collect()
    };
    let cores = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let threads = (files.len() / FILES_PER_THREAD).clamp(1, cores);
    let parts = files.chunks(files.len().div_ceil(threads).max(1));
    let checked = thread::scope(|scope| {
        let check = &check;
        let started: Vec<_> =
            parts.map(|part| (part, thread::Builder::new().spawn_scoped(scope, move || check(part)))).collect();
        let mut checked = Vec::with_capacity(files.len());
        for (part, thread) in started {
            // If a thread couldn't be started or panicked, its part is checked here.
            checked.extend(thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| check(part)));
        }
        checked
    });
    progress.finish_and_clear();
    checked
}

fn check_file(file: &paths::File, times: Times) -> Checked {
    match file.kind {
        Kind::Public | Kind::Secret => certificate::check(file, times),
        Kind::Passwords => Checked::of(passwords::check(file)),
        Kind::Policy => Checked::of(policy::check(file)),
        Kind::Unknown => certificate::check_unknown(file, times).unwrap_or_else(|| Checked::of(passwords::check(file))),
    }
}

/// A progress bar, if the check takes long enough. indicatif shows it only on a terminal.
fn progress(files: usize) -> ProgressBar {
    if files < 2_000 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(files as u64);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} files") {
        bar.set_style(style);
    }
    bar
}

impl Report {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        for problem in &self.problems {
            problem.write_text(out)?;
        }
        let counted = |count: usize, one: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {one}s"),
        };
        let (errors, warnings) = (counted(self.errors, "error"), counted(self.warnings, "warning"));
        writeln!(out, "{}: {errors}, {warnings}", counted(self.files, "file"))
    }
}
