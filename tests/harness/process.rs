//! Runs one test of this binary in a process of its own, for what ends a process or hangs it.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const CHILD: &str = "ZMQ_AUTH_TEST_CHILD";

/// Whether this process is the child.
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// What became of the child.
#[derive(Debug)]
pub struct Ended {
    /// `None` if it had to be killed at the deadline.
    pub status: Option<ExitStatus>,
    pub stderr: String,
}

/// Runs the test `name` (with its modules) again in a child, and waits for its end.
pub fn run_again(name: &str, variables: &[(&str, &str)], within: Duration) -> Ended {
    let mut child = Command::new(std::env::current_exe().expect("the test's own path"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the test binary starts");
    let mut pipe = child.stderr.take().expect("a pipe was asked for");
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let end = Instant::now() + within;
    let status = loop {
        match child.try_wait().expect("a child of ours") {
            Some(status) => break Some(status),
            None if Instant::now() >= end => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => thread::park_timeout(Duration::from_millis(10)),
        }
    };
    Ended { status, stderr: reader.join().expect("the reader doesn't panic") }
}
