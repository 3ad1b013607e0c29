//! Test support shared by the test binaries: `mod harness;` or `#[path = "../harness/mod.rs"] mod harness;`.
//!
//! Everything here installs the capturing logger first, which aborts the process when a secret is logged. The exception is
//! [`process`]: a test that runs in a process of its own may bring its own logger.

#![allow(dead_code, unused_macros, unused_imports, unreachable_pub)]

pub mod barrier;
pub mod fixture;
pub mod front_end;
pub mod log;
pub mod process;
pub mod proxy;
pub mod python;
pub mod random;
pub mod relay;
pub mod sockets;
#[cfg(target_os = "linux")]
pub mod system;
#[cfg(target_os = "linux")]
pub mod usage;
pub mod worker;
pub mod zap;
pub mod zap_domain;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for an event that will certainly happen: generous, because the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A ZAP domain that no other test uses, so that a test's log records can be told from those of others.
pub fn domain(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    log::install();
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Polls a condition that no event announces, a hundred times a second.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// Runs something that could hang on its own thread, and fails if it does.
#[track_caller]
pub fn within_deadline<T: Send + 'static>(what: &str, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = run();
        let _ = done.send(());
        result
    });
    match is_done.recv_timeout(DEADLINE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
        _ => thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)),
    }
}

/// Sends a message when dropped, as part of a cancelled callback for example.
pub struct NotifyOnDrop(pub mpsc::Sender<&'static str>, pub &'static str);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}
