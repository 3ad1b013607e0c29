//! `zmq-auth gate` and `zmq-auth tunnel`, as processes between services and clients in Python and Rust.

mod back;
mod collect;
mod exhausted;
mod journal;
mod load;
mod model;
mod page;
mod publish;
mod reply;
mod routing_ids;
mod service;
mod stall;
mod tables;
mod tunnel;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use zmq_auth::{Certificate, Handshake, KeyPair, MonitoredSocket, PublicKey, SocketExt, zmq};

use crate::python;
use crate::run::{program, run};

/// Long enough for a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
const DEADLINE_MS: i32 = 60_000;

/// A directory with a policy, and with certificates of a server and of clients, of which alice and bob are accepted.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("clients")).unwrap();
        let place = Place { directory };
        for name in ["server", "alice", "bob", "mallory"] {
            let team = if name == "alice" { Some("red") } else { None };
            place.certificate(name, team);
        }
        place.accept("alice");
        place.accept("bob");
        fs::write(
            place.path("policy.toml"),
            "[domain.lab]\ncurve = { directory = \"clients\", user_id = \"name\" }\n\n[domain.\"*\"]\nnull = \"deny\"\n",
        )
        .unwrap();
        place
    }

    fn certificate(&self, name: &str, team: Option<&str>) {
        let mut certificate = Certificate::generate().unwrap();
        if let Some(team) = team {
            certificate = certificate.with_metadata("X-Team", team).unwrap();
        }
        certificate.save_full_pair(&self.directory, name).unwrap();
    }

    fn accept(&self, name: &str) {
        let file = format!("{name}.key");
        fs::copy(self.path(&file), self.path("new")).unwrap();
        fs::rename(self.path("new"), self.path("clients").join(file)).unwrap();
    }

    /// Takes a client's certificate out of the server's directory, as an operator would.
    fn revoke(&self, name: &str) -> Instant {
        run(self.directory.path(), &["revoke", "clients", name]).ok();
        Instant::now()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ipc(&self, name: &str) -> String {
        format!("ipc://{}", self.path(name).display())
    }

    /// Starts a gate in front of `app.sock`, for CURVE clients.
    fn gate(&self, kind: &str, options: &[&str]) -> Gate {
        let back = self.ipc("app.sock");
        let arguments = [
            "--front",
            "tcp://127.0.0.1:*",
            "--back",
            &back,
            "--kind",
            kind,
            "--domain",
            "lab",
            "--key",
            "server.key_secret",
        ];
        self.gate_with(&[&arguments[..], options].concat())
    }

    fn gate_with(&self, arguments: &[&str]) -> Gate {
        Gate::start(self.directory.path(), &[&["gate", "policy.toml"], arguments].concat())
    }

    fn keys(&self, name: &str) -> KeyPair {
        KeyPair::load(self.path(&format!("{name}.key_secret"))).unwrap()
    }

    /// A new Rust client in front of a gate, with this certificate.
    fn client(&self, context: &zmq::Context, socket_type: zmq::SocketType, name: &str) -> zmq::Socket {
        let mut socket = context.socket(socket_type).unwrap();
        let server = PublicKey::load(self.path("server.key")).unwrap();
        socket.curve_client(&self.keys(name), &server).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(DEADLINE_MS).unwrap();
        socket.set_sndtimeo(DEADLINE_MS).unwrap();
        socket
    }

    fn connected(&self, context: &zmq::Context, socket_type: zmq::SocketType, name: &str, gate: &Gate) -> zmq::Socket {
        let socket = self.client(context, socket_type, name);
        socket.connect(&gate.front).unwrap();
        socket
    }

    fn monitored(
        &self,
        context: &zmq::Context,
        socket_type: zmq::SocketType,
        name: &str,
        gate: &Gate,
    ) -> MonitoredSocket {
        let socket = MonitoredSocket::new(context, self.client(context, socket_type, name)).unwrap();
        socket.connect(&gate.front).unwrap();
        socket
    }

    /// Tries handshakes until the gate decides so about this user: after a change of the policy, a `Reloaded` line may be
    /// about an earlier one. The gate doesn't register these clients, since they send nothing.
    #[track_caller]
    fn until_decided(
        &self,
        context: &zmq::Context,
        socket_type: zmq::SocketType,
        name: &str,
        gate: &Gate,
        expected: Handshake,
    ) {
        let end = Instant::now() + DEADLINE;
        loop {
            let outcome = self.monitored(context, socket_type, name, gate).wait_for_handshake(DEADLINE).unwrap();
            if outcome == Some(expected) {
                return;
            }
            assert!(Instant::now() < end, "{name}: {outcome:?} instead of {expected:?}");
        }
    }

    /// A pyzmq process without any security.
    fn python(&self, arguments: &[&str]) -> Process {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("gate/peer.py");
        let mut command = Command::new(python::python());
        command.arg(script).args(arguments).current_dir(self.directory.path());
        Process::start(command)
    }

    /// A Rust service at `app.sock`, in this process.
    fn service(&self, context: &zmq::Context, socket_type: zmq::SocketType) -> zmq::Socket {
        let socket = context.socket(socket_type).unwrap();
        socket.set_rcvtimeo(DEADLINE_MS).unwrap();
        socket.set_sndtimeo(DEADLINE_MS).unwrap();
        socket.set_linger(0).unwrap();
        socket.bind(&self.ipc("app.sock")).unwrap();
        socket
    }
}

/// A process that writes JSON lines.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines
                .map(|line| serde_json::from_str(&line).unwrap_or(Value::String(line)))
                .try_for_each(|line| sender.send(line))
        });
        Process { child, stdin, lines }
    }

    #[track_caller]
    fn line(&self) -> Value {
        self.lines.recv_timeout(DEADLINE).expect("a line")
    }

    /// The next line with this event, skipping others.
    #[track_caller]
    fn event(&self, event: &str) -> Value {
        let end = Instant::now() + DEADLINE;
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("no line {event}"));
            if line["event"] == event {
                return line;
            }
        }
    }

    /// Waits for each of these events of a user, in any order.
    #[track_caller]
    fn all_events<'a>(&self, events: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut due: Vec<_> = events.collect();
        while !due.is_empty() {
            let line = self.line();
            if let Some(place) =
                due.iter().position(|(event, user)| line["event"] == *event && line["user_id"] == *user)
            {
                due.remove(place);
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits until it ends by itself.
    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "it doesn't end");
            // Its output ends when it does.
            let _ = self.lines.recv_timeout(Duration::from_millis(50));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running gate or tunnel, with metrics.
struct Gate {
    process: Process,
    front: String,
    metrics: String,
}

impl Gate {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.arg("--json").args(arguments);
        Gate::started(command, directory)
    }

    fn started(mut command: Command, directory: &Path) -> Self {
        let metrics = free_address();
        command.args(["--metrics", &metrics]).current_dir(directory);
        let process = Process::start(command);
        let front = process.event("Listening")["front"].as_str().unwrap().to_owned();
        Gate { process, front, metrics }
    }

    fn metric(&self, name: &str, labels: &str) -> u64 {
        metric(&self.metrics, name, labels)
    }

    fn dropped(&self, reason: &str) -> u64 {
        self.metric("zmq_auth_gate_dropped_total", &format!("reason=\"{reason}\""))
    }

    /// Waits for a count, by asking the gate for its metrics repeatedly.
    #[track_caller]
    fn until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let end = Instant::now() + DEADLINE;
        while !is_so(self) {
            assert!(Instant::now() < end, "{what}");
            thread::yield_now();
        }
    }

    /// Ends it gracefully by a signal.
    #[track_caller]
    fn stop(mut self) {
        self.process.signal(Signal::SIGTERM);
        assert!(self.process.ended().success());
    }
}

/// A counter or gauge with these labels, 0 if there is none yet.
fn metric(metrics: &str, name: &str, labels: &str) -> u64 {
    let mut stream = TcpStream::connect(metrics).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let is_it = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let line = text.lines().find(|line| is_it(line) && line.contains(labels));
    line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default() as u64
}

/// A free address of this machine. Its port is below those that the system chooses from (`ip_local_port_range`), so nobody
/// is given it before it is bound again.
fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let address = format!("127.0.0.1:{}", 10_000 + number % 20_000);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

/// The text of each frame.
fn frames(socket: &zmq::Socket) -> Vec<String> {
    let frames = socket.recv_multipart(0).expect("a message in time");
    frames.into_iter().map(|frame| String::from_utf8(frame).unwrap()).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}
