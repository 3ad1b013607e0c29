//! A reconnect storm: many connected clients lose their server at once, and reconnect to the next one. The server has
//! one processor, the clients another. Measured is the time from the bind of the next server until the last client has
//! its answer.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use zmq_auth::{KeyPair, PublicKey, SocketExt};
use zmq_auth_benches::report::{Better, Section};

use super::contestants::{Available, Contestant};
use super::server::{KeyFiles, Server, on_processor};

/// The argument that makes this program the clients.
pub(crate) const CLIENTS: &str = "storm-clients";
/// The number of sockets for each context: libzmq's default limit is 1,023, and the `zmq` crate can't raise it.
const SOCKETS: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(60);

const HOW: &str = "This many CURVE clients are connected when their server is killed. When all have lost it, a new one is \
     started at the same port. The time is from its bind until each client has an answer from it. The server \
     has one processor, the clients (another process, a context for each 1,000) another. Ratios are to pyzmq.";

pub(crate) fn measure(
    contestants: &[Available],
    files: &KeyFiles,
    missing: &[String],
    clients: usize,
    repetitions: usize,
) -> Result<Section> {
    let mut section = Section {
        key: "connections-storm",
        title: "Reconnect storm".into(),
        how: [&[HOW.to_owned()], missing].concat().join(" "),
        unit: "s",
        better: Better::Lower,
        baseline: Some(Contestant::Pyzmq.name()),
        records: Vec::new(),
    };
    let mut contestants: Vec<_> =
        contestants.iter().filter(|contestant| contestant.contestant.meets_a_storm()).collect();
    for _ in 0..repetitions {
        contestants.retain(|contestant| {
            let name = contestant.contestant.name();
            match storm(contestant, files, clients) {
                Ok(took) => {
                    eprintln!("storm at {name}: {took:.2?}");
                    section.add(&format!("{clients} clients"), name, took.as_secs_f64());
                    true
                }
                Err(error) => {
                    section.how += &format!(" {name} left clients without an answer for {PATIENCE:?}: {error:#}.");
                    false
                }
            }
        });
    }
    ensure!(!section.records.is_empty(), "{}", section.how);
    Ok(section)
}

fn storm(contestant: &Available, files: &KeyFiles, count: usize) -> Result<Duration> {
    let [server_processor, client_processor] = [0, 1];
    // A free port, for both servers.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let endpoint = format!("tcp://127.0.0.1:{port}");
    let server = Server::start_at(contestant, files, &endpoint, server_processor)?;
    let mut clients = Command::new(std::env::current_exe()?);
    clients.arg(CLIENTS).arg(files.directory.path()).args([&endpoint, &count.to_string()]);
    files.save_client()?;
    let mut clients = on_processor(client_processor, &clients);
    let mut clients = clients.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(clients.stdout.take().context("a pipe")?).lines();
    let mut orders = clients.stdin.take().context("a pipe")?;
    let mut wait = |word: &str| -> Result<()> {
        let line = lines.next().context("the clients have ended")??;
        ensure!(line == word, "{line}");
        Ok(())
    };
    wait("connected")?;
    drop(server);
    wait_until_lost(port)?;
    let server = Server::start_at(contestant, files, &endpoint, server_processor)?;
    let start = Instant::now();
    writeln!(orders, "again")?;
    wait("connected")?;
    let took = start.elapsed();
    drop((orders, server));
    clients.wait()?;
    Ok(took)
}

/// Waits until no client has a connection to this port: messages sent on an ended connection would be lost.
fn wait_until_lost(port: u16) -> Result<()> {
    let port = format!("{port:04X}");
    let start = Instant::now();
    // The third field is the peer, the fourth the state: 01 is established, 08 is closed by the peer only.
    let is_held = |line: &str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|peer| peer.ends_with(&port)) && matches!(fields.next(), Some("01" | "08"))
    };
    while std::fs::read_to_string("/proc/net/tcp")?.lines().any(is_held) {
        ensure!(start.elapsed() < PATIENCE, "connections to a server that has ended stay");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Connects all clients, and reports when all have an answer; then again for each line of input.
pub(crate) fn run_clients(directory: &Path, endpoint: &str, count: usize) -> Result<()> {
    let keys = KeyPair::load(directory.join("client.key_secret"))?;
    let server = PublicKey::load(directory.join("server.key_secret"))?;
    let contexts: Vec<_> = (0..count.div_ceil(SOCKETS)).map(|_| zmq::Context::new()).collect();
    let sockets = (0..count).map(|number| -> Result<zmq::Socket> {
        let mut socket = contexts[number / SOCKETS].socket(zmq::DEALER)?;
        socket.set_linger(0)?;
        socket.set_handshake_ivl(PATIENCE.as_millis() as i32)?;
        socket.curve_client(&keys, &server)?;
        socket.connect(endpoint)?;
        Ok(socket)
    });
    let sockets = sockets.collect::<Result<Vec<_>>>()?;
    let all_answered = |word: &str| -> Result<()> {
        let mut message = zmq::Message::new();
        sockets.iter().try_for_each(|socket| socket.send(word, 0))?;
        let start = Instant::now();
        for socket in &sockets {
            // There may be answers of the previous server among them.
            while {
                let left = PATIENCE.checked_sub(start.elapsed()).context("not everybody has an answer")?;
                socket.set_rcvtimeo(left.as_millis() as i32)?;
                socket.recv(&mut message, 0)?;
                &*message != word.as_bytes()
            } {}
        }
        println!("connected");
        Ok(())
    };
    all_answered("first")?;
    for line in std::io::stdin().lines() {
        all_answered(&line?)?;
    }
    Ok(())
}
