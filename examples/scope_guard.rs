//! The handler as a scope guard: while the value that `start` answers is alive, libzmq's questions are answered; when it
//! goes out of scope, the handler stops. The doors don't open then, they close: a socket that was set up with one of the
//! `*_server` calls lets nobody in while nobody decides.
//!
//! ```sh
//! cargo run --example scope_guard
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Authenticator, Handshake, KeyPair, MonitoredSocket, PublicKey, SocketExt, zmq};

/// Nothing here takes that long: it bounds the wait where something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let (server_keys, client_keys) = (KeyPair::generate()?, KeyPair::generate()?);
    let context = zmq::Context::new();
    let mut server = context.socket(zmq::REP)?;
    server.curve_server(&server_keys, "lab")?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");
    let knock = || knock(&context, &client_keys, &server_keys.public, &endpoint);

    // The policy outlives the handlers that serve it.
    let auth = Authenticator::new();
    auth.configure_curve_keys("lab", [client_keys.public])?;

    let seen = knock()?;
    ensure!(seen != Handshake::Authenticated, "let in although no handler runs yet");
    // Without a reason: where nobody decides, libzmq's server hangs up without a word.
    println!("Before the scope: not let in");

    {
        let _running = auth.start(&context)?;
        let seen = knock()?;
        println!("Inside the scope: {seen}");
        ensure!(seen == Handshake::Authenticated, "not let in although the handler runs");
    }

    let seen = knock()?;
    ensure!(seen != Handshake::Authenticated, "let in although the handler is gone");
    println!("After the scope:  not let in");

    // The name is free again at once. Where a failure to stop matters, `stop` reports it; dropping can't.
    let running = auth.start(&context)?;
    let seen = knock()?;
    println!("Started again:    {seen}");
    ensure!(seen == Handshake::Authenticated, "not let in although the handler runs again");
    running.stop()?;
    println!("Stopped.");
    Ok(())
}

/// One new client, and how its first handshake ends.
fn knock(context: &zmq::Context, keys: &KeyPair, server: &PublicKey, endpoint: &str) -> Result<Handshake> {
    let mut client = context.socket(zmq::REQ)?;
    client.curve_client(keys, server)?;
    client.set_linger(0)?;
    let mut client = MonitoredSocket::new(context, client)?;
    client.connect(endpoint)?;
    client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")
}
