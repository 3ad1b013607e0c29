//! A child process that writes lines, and can neither hang a test nor outlive it.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child as Process, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::DEADLINE;

pub(crate) struct Child {
    process: Process,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
    told: Vec<String>,
    // For all of it: a child that dribbles lines doesn't live longer.
    end: Instant,
}

/// What it told in all.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) lines: Vec<String>,
    pub(crate) stderr: String,
}

impl Child {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = process.stdout.take().expect("a pipe was asked for");
        let mut stderr = process.stderr.take().expect("a pipe was asked for");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdin = process.stdin.take();
        Child { process, stdin, lines, stderr: Some(stderr), told: vec![], end: Instant::now() + DEADLINE }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The rest of the next line, which must begin with this word.
    pub(crate) fn expect(&mut self, word: &str) -> String {
        let line = self.line();
        let rest = line.as_deref().and_then(|line| line.strip_prefix(word));
        match rest {
            Some(rest) => rest.trim_start().to_owned(),
            None => self.fail(&format!("{word} was expected, not {line:?}")),
        }
    }

    /// Gives it all of its standard input.
    pub(crate) fn tell(&mut self, text: &str) {
        let mut stdin = self.stdin.take().expect("it is told once");
        let text = text.to_owned();
        // It may answer before it has read everything, and neither may wait for the other.
        thread::spawn(move || stdin.write_all(text.as_bytes()));
    }

    /// Lets it end, and waits for that; it must have succeeded.
    pub(crate) fn finish(mut self) -> Told {
        drop(self.stdin.take());
        while self.line().is_some() {}
        let status = loop {
            match self.process.try_wait().expect("a child of ours") {
                Some(status) => break status,
                None if Instant::now() >= self.end => self.fail("it doesn't end"),
                // It has closed its output: what is left takes no time.
                None => thread::park_timeout(Duration::from_millis(1)),
            }
        };
        if !status.success() {
            self.fail(&status.to_string());
        }
        Told { lines: std::mem::take(&mut self.told), stderr: self.stderr() }
    }

    fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(self.end.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                self.told.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => self.fail("it is silent"),
        }
    }

    fn stderr(&mut self) -> String {
        self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default()
    }

    fn fail(&mut self, problem: &str) -> ! {
        self.kill();
        let stderr = self.stderr();
        panic!("{problem}; it told {:#?}\n{stderr}", self.told);
    }

    fn kill(&mut self) {
        // By its handle: no other process can be meant.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}
