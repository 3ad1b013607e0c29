//! Tests in their own process: for what ends or hangs a process, or changes it permanently.

use std::io::Read;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const CHILD: &str = "ZMQ_AUTH_TEST_CHILD";

/// How long an isolated test may take.
const ISOLATED: Duration = Duration::from_secs(120);

/// The last line of a child that has finished its test.
const COMPLETED: &str = "the isolated test has completed";

/// Whether this process is the child.
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// The outcome of a child.
#[derive(Debug)]
pub struct Ended {
    /// `None` if it was killed at the deadline.
    pub status: Option<ExitStatus>,
    pub stderr: String,
}

/// Runs the test `name` (with its modules) in a child process, and waits for it to end.
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

/// Runs the calling test's body in a child process: `#[test] fn name() { isolated(|| …) }`. The closure must be in the test
/// function itself, because the function's path is taken from the closure's type.
#[track_caller]
pub fn isolated<F: FnOnce()>(test: F) {
    isolated_with(&[], test);
}

/// As [`isolated`], with environment variables for the child. Lines on standard error that start with `# ` are repeated.
#[track_caller]
pub fn isolated_with<F: FnOnce()>(variables: &[(&str, &str)], test: F) {
    if is_child() {
        test();
        completed();
        return;
    }
    let name = name_of::<F>();
    let ended = run_again(name, variables, ISOLATED);
    ended.assert_completed(name);
    for line in ended.stderr.lines().filter(|line| line.starts_with("# ")) {
        println!("{line}");
    }
}

/// A child calls this when its test has finished.
pub fn completed() {
    eprintln!("{COMPLETED}");
}

impl Ended {
    /// Checks that the child succeeded and ran this test: a name that no test has would succeed too.
    #[track_caller]
    pub fn assert_completed(&self, name: &str) {
        assert!(self.status.is_some_and(|status| status.success()), "{:?}\n{}", self.status, self.stderr);
        assert!(self.stderr.contains(COMPLETED), "{name} was not run:\n{}", self.stderr);
    }
}

/// The test that the closure stands in: `crate::module::test::{{closure}}` without the ends.
fn name_of<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let name = path.split_once("::").and_then(|(_, path)| path.strip_suffix("::{{closure}}"));
    name.unwrap_or_else(|| panic!("{path} is not a closure in a test"))
}
