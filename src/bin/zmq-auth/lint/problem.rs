//! A problem of a file.

use std::cmp::Ordering;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};
use zmq_auth::Error;

use crate::escape;

/// A problem, and what to do about it.
#[derive(Serialize)]
pub(super) struct Problem {
    /// The file or directory. Bytes that are not valid UTF-8 are U+FFFD.
    #[serde(serialize_with = "as_text")]
    pub(super) file: PathBuf,
    /// The line, counted from 1; null if the problem isn't in a line.
    pub(super) line: Option<usize>,
    /// `error` or `warning`.
    pub(super) level: Level,
    /// A stable name: `bad-line`, `expired`, …
    pub(super) code: &'static str,
    /// What is wrong, and what to do about it.
    pub(super) text: String,
    /// The position of the given path among the arguments.
    #[serde(skip)]
    pub(super) order: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Error,
    Warning,
}

impl Problem {
    pub(super) fn error(place: (&Path, usize), code: &'static str, text: impl Into<String>) -> Self {
        Problem { file: place.0.to_owned(), line: None, level: Level::Error, code, text: text.into(), order: place.1 }
    }

    pub(super) fn warning(place: (&Path, usize), code: &'static str, text: impl Into<String>) -> Self {
        Problem { level: Level::Warning, ..Problem::error(place, code, text) }
    }

    /// The problem for the library's error about a file that it doesn't load.
    pub(super) fn of(place: (&Path, usize), error: &Error) -> Self {
        match error {
            Error::Certificate { line: Some(line), problem, .. }
            | Error::PasswordFile { line: Some(line), problem, .. } => Problem {
                line: Some(*line),
                ..Problem::error(place, "bad-line", format!("{problem}; correct this line"))
            },
            Error::Certificate { problem, .. } | Error::PasswordFile { problem, .. } => {
                Problem::error(place, "bad-file", format!("{problem}; replace the file, or remove it"))
            }
            Error::Io { action, source, .. } => {
                let text = format!("cannot {action}: {source}; check the path and its permissions");
                Problem::error(place, "unreadable", text)
            }
            other => Problem::error(place, "bad-file", other.to_string()),
        }
    }

    /// Compares by the given path, the file and the line.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        (self.order, &self.file, self.line, self.code).cmp(&(other.order, &other.file, other.line, other.code))
    }

    pub(super) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (color, level) = match self.level {
            Level::Error => (anstyle::AnsiColor::Red, "error"),
            Level::Warning => (anstyle::AnsiColor::Yellow, "warning"),
        };
        let style = color.on_default().bold();
        write!(out, "{}", escape::path(&self.file))?;
        if let Some(line) = self.line {
            write!(out, ":{line}")?;
        }
        writeln!(out, ": {style}{level}{style:#}: {} [{}]", self.text, self.code)
    }
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}
