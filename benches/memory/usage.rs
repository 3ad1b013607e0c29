//! Memory and threads of this process, as the kernel counts them.

use std::fs;

use anyhow::{Context as _, Result};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Resident memory.
    pub(crate) bytes: u64,
    pub(crate) threads: u64,
}

impl Usage {
    pub(crate) fn now() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let number = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("Linux tells this in /proc")?;
            Ok(line.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Usage { bytes: number("VmRSS:")? * 1024, threads: number("Threads:")? })
    }

    /// The growth since then.
    pub(crate) fn grown(self) -> Result<Self> {
        let now = Usage::now()?;
        let (bytes, threads) = (now.bytes.saturating_sub(self.bytes), now.threads.saturating_sub(self.threads));
        Ok(Usage { bytes, threads })
    }
}
