//! `zmq-auth ping`, against pyzmq servers, Rust servers and other endpoints.

mod other_ends;
mod python_servers;
mod rust_servers;
mod usage;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use zmq_auth::{Certificate, KeyPair};

use crate::python;
use crate::run::{Outcome, run, run_with_input};

/// Long enough for a busy machine. Tests of silent endpoints use less.
const TIMEOUT: &str = "20s";
const SHORT: &str = "1500ms";
const DEADLINE: Duration = Duration::from_secs(60);

/// Certificates of a server and of two clients, of which only alice is accepted.
struct Keys {
    directory: TempDir,
    server: KeyPair,
}

impl Keys {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut pairs = ["server", "alice", "mallory", "another"].map(|name| {
            let certificate = Certificate::generate().unwrap();
            certificate.save_pair(&directory, name).unwrap();
            certificate.key_pair().unwrap().clone()
        });
        std::fs::create_dir(directory.path().join("clients")).unwrap();
        std::fs::copy(directory.path().join("alice.key"), directory.path().join("clients/alice.key")).unwrap();
        let server = std::mem::replace(&mut pairs[0], KeyPair { public: [0; 32].into(), secret: [0; 32].into() });
        Keys { directory, server }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn clients(&self) -> PathBuf {
        self.path().join("clients")
    }
}

/// Runs `ping` and checks that text and JSON agree.
#[track_caller]
fn ping(directory: &Path, arguments: &[&str], input: &str, exit: i32) -> Value {
    let arguments = [&["ping"], arguments].concat();
    let json = run_with_input(directory, &[&["--json"], &arguments[..]].concat(), input.as_bytes());
    assert_eq!(json.code, exit, "{arguments:?}: {}{}", json.stdout, json.stderr);
    let report = json.json();
    let outcome = match exit {
        0 => "authenticated",
        3 => "denied",
        4 => "no-handshake",
        _ => "unreachable",
    };
    assert_eq!(report["outcome"], outcome, "{report}");
    assert_eq!(report["endpoint"], arguments[1], "{report}");
    assert!(report["milliseconds"].is_u64(), "{report}");
    assert_eq!(report["causes"].as_array().unwrap().is_empty(), exit == 0, "{report}");
    assert_eq!(report["note"].is_null(), exit != 0, "{report}");
    report
}

/// The output for people: one line with the outcome, then the causes.
#[track_caller]
fn ping_text(directory: &Path, arguments: &[&str], exit: i32) -> String {
    let arguments = [&["ping"], arguments].concat();
    let Outcome { code, stdout, stderr } = run(directory, &arguments);
    assert_eq!(code, exit, "{stdout}{stderr}");
    stdout
}

#[track_caller]
fn assert_causes(report: &Value, expected: &[&str]) {
    let causes: Vec<&str> =
        report["causes"].as_array().unwrap().iter().map(|cause| cause["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, expected, "{report}");
    let texts = report["causes"].as_array().unwrap().iter().map(|cause| cause["text"].as_str().unwrap());
    assert!(texts.into_iter().all(|text| text.ends_with(|end: char| end != ',')), "{report}");
}

/// A pyzmq server in a separate process.
struct PythonServer {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    endpoint: String,
}

impl PythonServer {
    #[track_caller]
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(python::python());
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("server.py")).args(arguments);
        command.env("PEER_PASSWORD", "correct horse");
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let endpoint = lines.recv_timeout(DEADLINE).expect("the server says where it is bound");
        PythonServer { process, stdin, lines, endpoint }
    }

    /// Ends it, and checks that no client has sent it anything.
    #[track_caller]
    fn received_nothing(mut self) {
        self.stdin.take();
        let said: Vec<String> = std::iter::from_fn(|| self.lines.recv_timeout(DEADLINE).ok()).collect();
        assert!(said.is_empty(), "{said:?}");
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A listener that isn't ZeroMQ: it sends this to each client, and may hang up then.
fn listener(greeting: &'static [u8], hangs_up: bool) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    // It ends with the test program.
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { continue };
            thread::spawn(move || {
                let _ = client.write_all(greeting);
                let mut rest = Vec::new();
                let _ = if hangs_up { Ok(0) } else { client.read_to_end(&mut rest) };
            });
        }
    });
    endpoint
}
