//! A password file with a hashed password: how to make a line, how to use the file, and how a new password takes effect while
//! the server runs.
//!
//! `cargo run --features argon2,watch --example password_file`

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use zmq_auth::{Authenticator, EventKind, Handshake, MonitoredSocket, Password, PasswordFile, SocketExt, zmq};

const DEADLINE: Duration = Duration::from_secs(30);

fn main() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("passwords");

    // A line contains a hash, not the password. Still, nobody else needs to read it.
    write(&path, &PasswordFile::line("alice", &Password::from("correct horse battery staple"))?)?;
    println!("the file: {}", fs::read_to_string(&path)?.trim_end());

    let passwords = PasswordFile::open(&path)?;
    passwords.watch()?; // or passwords.reload(), on demand
    let auth = Authenticator::new();
    auth.configure_plain_file("shop", &passwords)?;

    let context = zmq::Context::new();
    let _running = auth.start(&context)?;
    let mut server = context.socket(zmq::REP)?;
    server.plain_server("shop")?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.endpoint()?;

    let outcome = connect(&context, &endpoint, "correct horse battery staple")?;
    println!("the right password: {outcome:?}");
    ensure!(outcome == Handshake::Authenticated);
    let outcome = connect(&context, &endpoint, "Tr0ub4dor&3")?;
    println!("a wrong one: {outcome:?}");
    ensure!(outcome == Handshake::Denied(400));

    // The file is replaced by a rename, and the store follows.
    let events = auth.events(100);
    let new = path.with_extension("new");
    write(&new, &PasswordFile::line("alice", &Password::from("Tr0ub4dor&3"))?)?;
    let start = Instant::now();
    fs::rename(&new, &path)?;
    loop {
        let event = events.next_timeout(DEADLINE).context("the file is followed")?;
        if event.kind == EventKind::Reloaded {
            println!("{} ({:?} after the change)", event.reason, start.elapsed());
            break;
        }
    }
    let outcome = connect(&context, &endpoint, "Tr0ub4dor&3")?;
    println!("her new password: {outcome:?}");
    ensure!(outcome == Handshake::Authenticated);
    Ok(())
}

/// Writes a file that only its owner can read, from creation.
fn write(path: &Path, line: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{line}")?;
    Ok(())
}

/// Connects one new client with this password, and returns the outcome of its handshake.
fn connect(context: &zmq::Context, endpoint: &str, password: &str) -> anyhow::Result<Handshake> {
    let mut socket = context.socket(zmq::REQ)?;
    socket.set_linger(0)?;
    socket.plain_client("alice", password)?;
    let mut client = MonitoredSocket::new(context, socket)?;
    client.connect(endpoint)?;
    client.wait_for_handshake(DEADLINE)?.context("the handshake ends")
}
