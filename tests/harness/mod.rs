//! What the test binaries share. Each takes what it needs: `mod harness;` or `#[path = "../harness/mod.rs"] mod harness;`.
//!
//! Everything here installs the capturing logger first, which aborts the process when a secret is logged.

#![allow(dead_code, unused_macros, unused_imports, unreachable_pub)]

pub mod doors;
pub mod enforce;
pub mod faces;
#[cfg(target_os = "linux")]
pub mod footprint;
pub mod gate;
pub mod log;
pub mod partner;
pub mod process;
pub mod proxy;
pub mod python;
pub mod sockets;
#[cfg(target_os = "linux")]
pub mod system;
pub mod zap;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an event may take that is sure to come: generous, for machines that are busy with other things.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A ZAP domain that no other test uses, so that the log of one test can be told from that of the others.
pub fn domain(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    log::install();
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits for what no event tells of; looks a hundred times a second.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
