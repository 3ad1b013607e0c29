//! The log: all of it goes to standard error, and is kept.

use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow};

/// Starts the log.
pub(crate) fn keep() -> Result<()> {
    log::set_logger(&JOURNAL).map_err(|error| anyhow!("{error}"))?;
    log::set_max_level(log::LevelFilter::Trace);
    Ok(())
}

/// Whether these words were logged since the last call of [`forget`].
pub(crate) fn holds(words: &str) -> bool {
    JOURNAL.0.lock().unwrap_or_else(PoisonError::into_inner).contains(words)
}

pub(crate) fn forget() {
    JOURNAL.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

struct Journal(Mutex<String>);

static JOURNAL: Journal = Journal(Mutex::new(String::new()));

impl log::Log for Journal {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}\n", record.level(), record.target(), record.args());
        eprint!("{line}");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
    }

    fn flush(&self) {}
}
