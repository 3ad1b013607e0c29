//! A Python server with pyzmq's authenticator (`pyzmq_server.py`) and Rust clients: one is accepted, one refused.
//!
//! ```sh
//! cargo run --example pyzmq_server    # the first time, it installs pyzmq below the target directory
//! ```

#[path = "support/pyzmq.rs"]
mod pyzmq;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Certificate, Handshake, KeyPair, MonitoredSocket, SocketExt, create_certificates, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let clients = directory.path().join("clients");
    fs::create_dir(&clients)?;
    let (server_public, server_secret) = create_certificates(&directory, "server")?;
    let (_, alice) = create_certificates(&clients, "alice")?;

    let mut server = Command::new(pyzmq::python()?)
        .arg(pyzmq::script("pyzmq_server.py"))
        .args([server_secret, clients])
        .stdout(Stdio::piped())
        .spawn()?;
    // Its first line says where it is bound. If nobody connects it ends by itself, which ends the line.
    let mut endpoint = String::new();
    BufReader::new(server.stdout.take().context("no output")?).read_line(&mut endpoint)?;

    let context = zmq::Context::new();
    let server_key = Certificate::load(server_public)?.public_key();
    let connect = |keys: &KeyPair| -> Result<MonitoredSocket> {
        let mut client = context.socket(zmq::REQ)?;
        client.curve_client(keys, &server_key)?;
        client.set_linger(0)?;
        client.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
        let client = MonitoredSocket::new(&context, client)?;
        client.connect(endpoint.trim_end())?;
        Ok(client)
    };

    let mut mallory = connect(&KeyPair::generate()?)?;
    let seen = mallory.wait_for_handshake(PATIENCE)?.context("Mallory heard nothing")?;
    println!("Mallory: {seen}");
    ensure!(seen == Handshake::Denied(400), "Mallory should have been denied");

    let alice = Certificate::load(alice)?;
    let mut alice = connect(alice.key_pair().context("Alice needs her secret key")?)?;
    let seen = alice.wait_for_handshake(PATIENCE)?.context("Alice heard nothing")?;
    println!("Alice: {seen}");
    ensure!(seen == Handshake::Authenticated, "Alice should have been accepted");
    alice.send("hello from Rust", 0)?;
    let answer = alice.recv_bytes(0)?;
    println!("Her answer: {}", String::from_utf8_lossy(&answer));
    ensure!(answer == b"pyzmq got 'hello from Rust'", "not what pyzmq answers");

    ensure!(server.wait()?.success(), "the Python server failed");
    Ok(())
}
