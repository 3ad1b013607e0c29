//! The processor time of another process.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The processor time of all threads of a process.
pub fn of(pid: u32) -> Result<Duration> {
    let tasks = format!("/proc/{pid}/task");
    let mut nanoseconds = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("{tasks}: Linux tells here what a process used"))? {
        let status = fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += status.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}
