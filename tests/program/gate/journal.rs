//! A gate whose output nobody reads.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use zmq_auth::zmq;

use super::{DEADLINE, Place, metric};
use crate::run::program;

/// A gate for NULL clients, all of which are refused. After its first line, its output isn't read.
struct Unread {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    front: String,
    metrics: String,
}

impl Unread {
    fn start(place: &Place) -> Self {
        let (back, metrics) = (place.ipc("app.sock"), super::free_address());
        let mut command = Command::new(program());
        command.args(["--json", "gate", "policy.toml", "--front", "tcp://127.0.0.1:*", "--back", &back]);
        command.args(["--kind", "reply", "--domain", "lab", "--null", "--metrics", &metrics]);
        let mut child = command.current_dir(place.directory.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let front = loop {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["event"] == "Listening" {
                break line["front"].as_str().unwrap().trim_start_matches("tcp://").to_owned();
            }
        };
        Unread { child, stdout: Some(stdout), front, metrics }
    }

    /// Makes the gate deny this many clients, and write a line for each.
    fn denied(&self, clients: usize) {
        let mut hello = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL".to_vec();
        hello.resize(64, 0);
        hello.extend(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03REQ");
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..clients.div_ceil(8) {
                        let mut stream = TcpStream::connect(&self.front).unwrap();
                        stream.set_read_timeout(Some(DEADLINE)).unwrap();
                        stream.write_all(&hello).unwrap();
                        let (mut answer, mut buffer) = (Vec::new(), [0; 256]);
                        while !answer.ends_with(b"\x03400") {
                            let count = stream.read(&mut buffer).unwrap();
                            assert!(count > 0, "{answer:?}");
                            answer.extend_from_slice(&buffer[..count]);
                        }
                    }
                });
            }
        });
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    fn ended(&mut self) -> bool {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(Instant::now() < end, "it doesn't end");
            thread::yield_now();
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_reader_that_has_stalled_does_not_keep_it_from_ending() {
    let place = Place::new();
    let mut gate = Unread::start(&place);
    // More than the pipe holds: 64 KiB.
    gate.denied(600);
    gate.signal(Signal::SIGTERM);
    assert!(gate.ended());
    let mut written = String::new();
    gate.stdout.take().unwrap().read_to_string(&mut written).unwrap();
    assert!(written.len() > 60_000 && !written.contains("Stopping"), "the reader had stalled: {}", written.len());
}

#[test]
fn lines_that_are_lost_are_counted_and_told() {
    const LINES: usize = 11_600;
    let place = Place::new();
    let mut gate = Unread::start(&place);
    // 10,000 lines are queued in the program, and a few hundred in the pipe.
    gate.denied(LINES);
    let (mut denied, mut lost) = (0, 0);
    let (sender, lines) = channel();
    let stdout = gate.stdout.take().unwrap();
    thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    while denied + lost < LINES {
        let line = lines.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{denied} and {lost} of {LINES}"));
        let line: Value = serde_json::from_str(&line).unwrap();
        denied += usize::from(line["event"] == "Denied");
        if line["event"] == "LinesLost" {
            let reason = line["reason"].as_str().unwrap();
            lost += reason.split(' ').next().unwrap().parse::<usize>().unwrap();
            assert_eq!(line["gate"], Value::Null);
        }
    }
    assert_eq!(denied + lost, LINES, "each client is told of or counted");
    assert!(lost > 100, "{lost}");
    assert_eq!(metric(&gate.metrics, "zmq_auth_gate_lines_lost_total", ""), lost as u64);
    gate.signal(Signal::SIGTERM);
    assert!(gate.ended());
}

/// Thousands of decisions wait for a slow reader, and the line of a gate doesn't wait for all of them.
#[test]
fn a_line_of_a_gate_is_not_behind_all_decisions() {
    const CLIENTS: usize = 3_000;
    let (place, context) = (Place::new(), zmq::Context::new());
    let mut gate = Unread::start(&place);
    gate.denied(CLIENTS);
    let _service = place.service(&context, zmq::REP);
    let end = Instant::now() + DEADLINE;
    // Its line has been queued when the metric says so.
    while metric(&gate.metrics, "zmq_auth_gate_service_connected", "") != 1 {
        assert!(Instant::now() < end, "the service isn't connected");
        thread::yield_now();
    }
    let mut lines = gate.stdout.take().unwrap().lines().map_while(Result::ok);
    let before = lines.by_ref().take_while(|line| !line.contains("\"ServiceConnected\"")).count();
    assert!(before < CLIENTS / 2, "{before} lines before that of the gate");
    let is_denied = |line: &String| line.contains("\"Denied\"");
    assert!(lines.filter(is_denied).nth(CLIENTS / 4).is_some(), "most decisions come later");
}
