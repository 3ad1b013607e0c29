//! A worker: a child process that runs one of this binary's tests and exchanges lines with it. It has its own memory and
//! descriptors, and can be killed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::{DEADLINE, process, wait_until};

/// Starts every line for the parent: the test runner writes its own lines.
const MARK: &str = "@ ";

/// The parent's end. The worker is killed when this is dropped.
pub struct Worker {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    name: String,
}

impl Worker {
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
                if let Some(line) = line.strip_prefix(MARK)
                    && sender.send(line.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        Worker { input: process.stdin.take(), process, lines, name: name.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next line of the worker.
    #[track_caller]
    pub fn receive(&self) -> String {
        self.receive_within(DEADLINE)
    }

    #[track_caller]
    pub fn receive_within(&self, time: Duration) -> String {
        self.lines.recv_timeout(time).unwrap_or_else(|error| panic!("{} sends nothing: {error}", self.name))
    }

    /// One line to the worker.
    pub fn send(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the worker's input is open");
        writeln!(input, "{line}").and_then(|()| input.flush()).expect("the worker reads");
    }

    /// Sends one line to the worker, and returns its answer.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.receive()
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Closes the worker's input and waits for its end.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        drop(self.input.take());
        let mut status = None;
        wait_until("the worker ends", || {
            status = self.process.try_wait().expect("a child of ours");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In the worker: one line to the parent.
pub fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    // The runner's "test … ... " may precede it.
    writeln!(out, "\n{MARK}{line}").and_then(|()| out.flush()).expect("the parent reads");
}

/// In the worker: the next line of the parent; `None` at the end, or without a parent.
pub fn next_command() -> Option<String> {
    std::io::stdin().lines().next()?.ok()
}
