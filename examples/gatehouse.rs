//! The main use, with one command: a CURVE server accepts the Rust and pyzmq clients whose certificates are in its
//! directory, and refuses all others. Each pyzmq client is a separate Python process (`pyzmq_client.py`).
//!
//! ```sh
//! cargo run --example gatehouse    # the first time, it installs pyzmq below the target directory
//! ```

#[path = "support/pyzmq.rs"]
mod pyzmq;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use zmq_auth::{Authenticator, Certificate, Handshake, MonitoredSocket, SocketExt, create_certificates, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    pyzmq::python()?;
    let directory = tempfile::tempdir()?;
    let (authorised, strangers) = (directory.path().join("authorised"), directory.path().join("strangers"));
    fs::create_dir(&authorised)?;
    fs::create_dir(&strangers)?;
    let (server_public, server_secret) = create_certificates(&directory, "server")?;
    for name in ["rust", "pyzmq"] {
        create_certificates(&authorised, name)?;
        create_certificates(&strangers, name)?;
    }

    // -- the server: policy, handler, socket ---------------------------------------------------------------------------
    let auth = Authenticator::new();
    auth.configure_curve("castle", &authorised)?;
    let context = zmq::Context::new();
    let _running = auth.start(&context)?;
    let mut server = context.socket(zmq::REP)?;
    let certificate = Certificate::load(server_secret)?;
    server.curve_server(certificate.key_pair().context("the server needs its secret key")?, "castle")?;
    server.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    // Only to show what the server saw; no server needs it.
    let mut server = MonitoredSocket::new(&context, server)?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");

    // -- the clients ---------------------------------------------------------------------------------------------------
    let visitors: [(&str, Client, _, &str, bool); 4] = [
        ("Rust, authorised", rust_client, &authorised, "rust", true),
        ("Rust, a stranger", rust_client, &strangers, "rust", false),
        ("pyzmq, authorised", pyzmq_client, &authorised, "pyzmq", true),
        ("pyzmq, a stranger", pyzmq_client, &strangers, "pyzmq", false),
    ];
    println!("{:<19} {:<9} {:<26} the server saw", "who", "accepted", "the client saw");
    for (who, client, keys, name, may_enter) in visitors {
        let key = Certificate::load(keys.join(name).with_extension("key"))?.public_key();
        let secret_file = keys.join(name).with_extension("key_secret");
        let (server_public, endpoint) = (server_public.clone(), endpoint.clone());
        let client = thread::spawn(move || client(&endpoint, &server_public, &secret_file));

        let handshake = server.wait_for_handshake(PATIENCE)?.context("the server heard nothing")?;
        let mut server_saw = handshake.to_string();
        if handshake == Handshake::Authenticated {
            let request = server.recv_with_sender(0)?;
            // A program should decide by the user id: it can't be forged.
            let user_id = request.sender().user_id().map(str::to_owned);
            ensure!(user_id == Some(key.to_string()), "{who}: the server took the sender for {user_id:?}");
            server_saw += &format!(", then {:?}", request.frames()[0].as_str().unwrap_or_default());
            server.send("welcome", 0)?;
        }
        let client_saw = client.join().map_err(|_| anyhow!("the client panicked"))??;

        let is_in = handshake == Handshake::Authenticated;
        println!("{who:<19} {:<9} {client_saw:<26} {server_saw}", if is_in { "yes" } else { "no" });
        ensure!(is_in == may_enter, "{who} should {}have been accepted", if may_enter { "" } else { "not " });
        let expected = if may_enter { "accepted: welcome" } else { "denied (400)" };
        ensure!(client_saw == expected, "{who} should have seen: {expected}");
        ensure!(may_enter || handshake == Handshake::Denied(400), "{who} should have been denied by the handler");
    }
    ensure!(server.poll(zmq::POLLIN, 0)? == 0, "a stranger's message reached the server");
    println!("No stranger's message reached the server.");
    Ok(())
}

/// Sends hello to the server, and returns the outcome. Takes the endpoint, the server's public file and the client's secret
/// file.
type Client = fn(&str, &Path, &Path) -> Result<String>;

fn rust_client(endpoint: &str, server_public: &Path, own_secret: &Path) -> Result<String> {
    let own = Certificate::load(own_secret)?;
    let server_key = Certificate::load(server_public)?.public_key();
    let context = zmq::Context::new();
    let mut client = context.socket(zmq::REQ)?;
    client.curve_client(own.key_pair().context("a client needs its secret key")?, &server_key)?;
    // A refused client's request is never sent; don't wait for it.
    client.set_linger(0)?;
    client.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    let mut client = MonitoredSocket::new(&context, client)?;
    client.connect(endpoint)?;
    client.send("hello from Rust", 0)?;
    match client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")? {
        Handshake::Authenticated => Ok(format!("accepted: {}", String::from_utf8_lossy(&client.recv_bytes(0)?))),
        refused => Ok(refused.to_string()),
    }
}

fn pyzmq_client(endpoint: &str, server_public: &Path, own_secret: &Path) -> Result<String> {
    let mut client = Command::new(pyzmq::python()?);
    client.arg(pyzmq::script("pyzmq_client.py")).arg(endpoint).arg(server_public).arg(own_secret);
    let output = client.output()?;
    ensure!(output.status.success(), "the Python client failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}
