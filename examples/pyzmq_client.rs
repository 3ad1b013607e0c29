//! A Rust server and Python clients (`pyzmq_client.py`): one is accepted, one refused. Both load certificate files that Rust
//! made, with pyzmq's own functions.
//!
//! ```sh
//! cargo run --example pyzmq_client    # the first time, it installs pyzmq below the target directory
//! ```

#[path = "support/pyzmq.rs"]
mod pyzmq;

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};
use zmq_auth::{Authenticator, Certificate, SocketExt, create_certificates, zmq};

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let allowed = directory.path().join("allowed");
    fs::create_dir(&allowed)?;
    let (server_public, server_secret) = create_certificates(&directory, "server")?;
    let (_, alice) = create_certificates(&allowed, "alice")?;
    let (_, mallory) = create_certificates(&directory, "mallory")?;

    let auth = Authenticator::new();
    auth.configure_curve("lab", &allowed)?;
    let context = zmq::Context::new();
    let _running = auth.start(&context)?;
    let mut server = context.socket(zmq::REP)?;
    let Some(keys) = Certificate::load(server_secret)?.key_pair().cloned() else { bail!("no secret key") };
    server.curve_server(&keys, "lab")?;
    server.set_rcvtimeo(10_000)?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");

    let python = pyzmq::python()?;
    let start = |certificate| {
        let mut client = Command::new(&python);
        client.arg(pyzmq::script("pyzmq_client.py")).arg(&endpoint).arg(&server_public).arg(certificate);
        client.stdout(Stdio::piped()).spawn()
    };

    let client = start(&mallory)?;
    let said = String::from_utf8(client.wait_with_output()?.stdout)?;
    print!("Mallory's Python: {said}");
    ensure!(said == "denied (400)\n", "Mallory should have been denied");

    let client = start(&alice)?;
    let request = server.recv_msg(0)?;
    println!("The server got {:?}", request.as_str());
    server.send("hello from Rust", 0)?;
    let said = String::from_utf8(client.wait_with_output()?.stdout)?;
    print!("Alice's Python: {said}");
    ensure!(said == "accepted: hello from Rust\n", "Alice should have been accepted");
    Ok(())
}
