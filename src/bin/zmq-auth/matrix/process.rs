//! The process of a peer, which reads and prints JSON lines.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::peer::{Peer, Role};

/// How much of the end of a peer's log is kept, in bytes.
const LOG: usize = 2_000;

/// The most events that are queued; a peer that prints more is blocked.
const EVENTS: usize = 1_000;

/// The longest line that can be an event.
const LINE: u64 = 1 << 20;

pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
    log: Arc<Mutex<Vec<u8>>>,
    log_reader: Option<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Result<Self, String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
        let (sender, events) = sync_channel(EVENTS);
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                let mut stdout = BufReader::new(stdout);
                let mut line = Vec::new();
                while stdout.by_ref().take(LINE).read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                    let text = String::from_utf8_lossy(&line);
                    let event = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.trim().to_owned()));
                    if sender.send(event).is_err() {
                        break;
                    }
                    line.clear();
                }
            });
        }
        let log = Arc::<Mutex<Vec<u8>>>::default();
        let log_reader = child.stderr.take().map(|mut stderr| {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stderr.read(&mut buffer) {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.extend_from_slice(&buffer[..count]);
                    let surplus = log.len().saturating_sub(LOG);
                    log.drain(..surplus);
                }
            })
        });
        let stdin = child.stdin.take();
        Ok(Process { child, stdin, events, log, log_reader })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn tell(&mut self, line: &Value) -> Result<(), String> {
        let Some(stdin) = &mut self.stdin else { return Err("its standard input is closed".to_owned()) };
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).map_err(|_| self.gone())
    }

    /// Its next event.
    pub(crate) fn event(&mut self, deadline: Instant) -> Result<Value, String> {
        match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => Ok(event),
            Err(RecvTimeoutError::Timeout) => Err("it prints nothing".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Err(self.gone()),
        }
    }

    /// Closes its standard input, after which it must exit with 0.
    pub(crate) fn end(mut self, timeout: Duration) -> Result<Vec<Value>, String> {
        self.stdin.take();
        let deadline = Instant::now() + timeout;
        let mut events = Vec::new();
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => events.push(event),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    return Err("it doesn't exit when its standard input is closed".to_owned());
                }
            }
        }
        // It has closed its standard output, so it has ended or is about to.
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() < deadline => thread::park_timeout(Duration::from_millis(1)),
                _ => return Err("it has closed its standard output, but doesn't exit".to_owned()),
            }
        };
        if status.success() { Ok(events) } else { Err(self.gone()) }
    }

    /// The error for a process that has ended: the last line of its log.
    fn gone(&mut self) -> String {
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        if let Some(reader) = self.log_reader.take() {
            let _ = reader.join();
        }
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let log = String::from_utf8_lossy(&log);
        let last = log.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        if last.is_empty() { format!("it exited: {status}") } else { format!("it exited: {status}: {last}") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Idle processes, by peer and role.
#[derive(Default)]
pub(crate) struct Pool {
    waiting: Mutex<HashMap<(String, Role), Vec<Process>>>,
}

impl Pool {
    /// An idle process, or a new one.
    pub(crate) fn take(&self, peer: &Peer, role: Role) -> Result<Process, String> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let process = waiting.get_mut(&(peer.name.clone(), role)).and_then(Vec::pop);
        drop(waiting);
        process.map_or_else(|| Process::start(peer.command(&[role.name()])), Ok)
    }

    /// Keeps a process for the next case. Don't put back one that failed: dropping it ends it.
    pub(crate) fn put_back(&self, peer: &Peer, role: Role, process: Process) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.entry((peer.name.clone(), role)).or_default().push(process);
    }
}
