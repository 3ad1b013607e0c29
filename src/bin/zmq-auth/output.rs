//! The program's output: results on standard output, errors with a hint on standard error, and exit codes.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::escape;

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done; for ping and explain: the client is accepted
  1  it failed, or a check found an error
  2  wrong usage, or a password is needed and there is no terminal to ask for it
  3  denied (ping, explain, gate, tunnel)
  4  no handshake (ping)
  5  unreachable (ping)
  130  interrupted at a password prompt";

/// How results are written.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Output {
    /// Write the result as JSON (src/program.md has the fields)
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The result of a command that could do what was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    /// A check found an error.
    Found = 1,
    Denied = 3,
    NoHandshake = 4,
    Unreachable = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Why a command couldn't do what was asked, and what to type next.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    exit: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None, exit: 1 }
    }

    /// The command was given wrong arguments.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None, exit: 2 }
    }

    /// A server refuses this program.
    pub(crate) fn denied(message: impl Into<String>) -> Self {
        Failure { message: message.into(), hint: None, exit: Exit::Denied as u8 }
    }

    /// Adds the file and line.
    pub(crate) fn at(mut self, file: &Path, line: usize) -> Self {
        self.message = format!("{}:{line}: {}", escape::path(file), self.message);
        self
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn report(self) -> ExitCode {
        let red = anstyle::AnsiColor::Red.on_default().bold();
        note(format_args!("{red}error{red:#}: {}", self.message));
        if let Some(hint) = self.hint {
            note(hint);
        }
        ExitCode::from(self.exit)
    }
}

/// The message, without the hint.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<zmq_auth::Error> for Failure {
    fn from(error: zmq_auth::Error) -> Self {
        Failure::new(error.to_string())
    }
}

impl Output {
    /// Writes the result: as one JSON document, or as `text` for people.
    ///
    /// If the reader is gone, as `head` may be, that isn't a failure.
    pub(crate) fn write<T: Serialize + ?Sized>(
        &self,
        result: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut stdout = anstream::stdout().lock();
        let written = if self.json {
            serde_json::to_writer_pretty(&mut stdout, result).map_err(io::Error::from).and_then(|()| writeln!(stdout))
        } else {
            text(&mut stdout)
        };
        match written.and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(not_written(error)),
            _ => Ok(()),
        }
    }

    /// Writes one of many results as a line, for a command that goes on: as JSON, or as `text` for people.
    ///
    /// If the reader is gone, that is a failure, which ends the program.
    pub(crate) fn line<T: Serialize>(&self, result: &T, text: &str) -> Result<(), Failure> {
        let mut stdout = anstream::stdout().lock();
        let written = if self.json {
            serde_json::to_writer(&mut stdout, result).map_err(io::Error::from).and_then(|()| writeln!(stdout))
        } else {
            writeln!(stdout, "{text}")
        };
        written.and_then(|()| stdout.flush()).map_err(not_written)
    }
}

/// Writes a line to standard error. If that fails, nobody is reading, and the exit code still tells the result.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

fn not_written(error: io::Error) -> Failure {
    Failure::new(format!("cannot write to standard output: {error}"))
}
