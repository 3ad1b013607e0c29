//! A process beside this one that runs one of this binary's tests, told what to do and heard line by line: what it holds
//! of memory and descriptors is its own, and it can be killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::{DEADLINE, process, wait_until};

/// Before every line that is meant for the other: the test runner writes lines of its own.
const MARK: &str = "@ ";

/// The parent's end. The partner is killed when this is dropped.
pub struct Partner {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    name: String,
}

impl Partner {
    /// Runs the test `name` (with its modules) in a child, in which [`process::is_child`] is true.
    pub fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("the test's own path"))
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(process::CHILD, "1")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the test binary starts");
        let output = BufReader::new(process.stdout.take().expect("a pipe was asked for"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(said) = line.strip_prefix(MARK)
                    && sender.send(said.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Partner { input: process.stdin.take(), process, lines, name: name.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line that the partner says.
    #[track_caller]
    pub fn hear(&self) -> String {
        self.hear_within(DEADLINE)
    }

    #[track_caller]
    pub fn hear_within(&self, time: Duration) -> String {
        self.lines.recv_timeout(time).unwrap_or_else(|error| panic!("{} says nothing: {error}", self.name))
    }

    /// One line to the partner.
    pub fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the partner is still told things");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("the partner listens");
    }

    /// One line to the partner, and its answer.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear()
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Tells the partner that there is no more, and waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        drop(self.input.take());
        let mut status = None;
        wait_until("the partner ends", || {
            status = self.process.try_wait().expect("a child of ours");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In the partner: one line to the parent.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The runner's "test … ... " may stand before it.
    writeln!(out, "\n{MARK}{line}").and_then(|()| out.flush()).expect("the parent listens");
}

/// In the partner: the next line of the parent; `None` when there is no more, or no parent.
pub fn told() -> Option<String> {
    std::io::stdin().lines().next()?.ok()
}
