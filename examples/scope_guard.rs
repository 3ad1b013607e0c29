//! The handler as a scope guard: it answers libzmq's requests while the value returned by `start` lives, and stops when that
//! goes out of scope. Then a socket that was set up with one of the `*_server` calls refuses everybody.
//!
//! ```sh
//! cargo run --example scope_guard
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Authenticator, Handshake, KeyPair, MonitoredSocket, PublicKey, SocketExt, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let (server_keys, client_keys) = (KeyPair::generate()?, KeyPair::generate()?);
    let context = zmq::Context::new();
    let mut server = context.socket(zmq::REP)?;
    server.curve_server(&server_keys, "lab")?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");
    let connect = || connect(&context, &client_keys, &server_keys.public, &endpoint);

    // The policy outlives the handlers that serve it.
    let auth = Authenticator::new();
    auth.configure_curve_keys("lab", [client_keys.public])?;

    let seen = connect()?;
    ensure!(seen != Handshake::Authenticated, "accepted although no handler runs yet");
    // The client isn't told why: without a handler, libzmq's server just closes the connection.
    println!("Before the scope: refused");

    {
        let _running = auth.start(&context)?;
        let seen = connect()?;
        println!("Inside the scope: {seen}");
        ensure!(seen == Handshake::Authenticated, "refused although the handler runs");
    }

    let seen = connect()?;
    ensure!(seen != Handshake::Authenticated, "accepted although the handler is gone");
    println!("After the scope:  refused");

    // The endpoint is free again at once. If you need to know that stopping worked, call `stop`; dropping can't report it.
    let running = auth.start(&context)?;
    let seen = connect()?;
    println!("Started again:    {seen}");
    ensure!(seen == Handshake::Authenticated, "refused although the handler runs again");
    running.stop()?;
    println!("Stopped.");
    Ok(())
}

/// Connects one new client, and returns the outcome of its first handshake.
fn connect(context: &zmq::Context, keys: &KeyPair, server: &PublicKey, endpoint: &str) -> Result<Handshake> {
    let mut client = context.socket(zmq::REQ)?;
    client.curve_client(keys, server)?;
    client.set_linger(0)?;
    let mut client = MonitoredSocket::new(context, client)?;
    client.connect(endpoint)?;
    client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")
}
