//! The handler in a tokio program: no thread of its own, the same policy. A CURVE server lets in the client whose key is
//! on the list and refuses the other; each tells what it saw. All of it in a runtime with one thread.
//!
//! ```sh
//! cargo run --features tokio --example async_server
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::spawn_blocking;
use zmq_auth::{AsyncAuthenticator, Handshake, KeyPair, MonitoredSocket, PublicKey, SocketExt, zmq};

/// Nothing here takes that long: it bounds the wait where something is broken.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (server_keys, alice, mallory) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    let context = zmq::Context::new();

    // In force from here on. (Policy first, then `start_async`, is the other way: `Authenticator::start_async`.)
    let auth = AsyncAuthenticator::start(&context).await?;
    auth.allow(["127.0.0.1"])?;
    auth.configure_curve_keys("*", [alice.public])?;

    let mut server = context.socket(zmq::PULL)?;
    server.curve_server(&server_keys, "office")?;
    server.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");

    // The clients block, as other programs would: they must not do so on the thread of the runtime, which is busy
    // answering for them.
    let mut seen = Vec::new();
    for keys in [alice.clone(), mallory] {
        let (context, endpoint, server_key) = (context.clone(), endpoint.clone(), server_keys.public);
        seen.push(spawn_blocking(move || knock(&context, &endpoint, &keys, &server_key)).await??);
    }
    println!("Alice, whose key is on the list: {}", seen[0]);
    println!("Mallory, whose key isn't: {}", seen[1]);
    ensure!(seen == [Handshake::Authenticated, Handshake::Denied(400)], "who was let in is wrong");

    let (server, mut message) = spawn_blocking(move || {
        let message = server.recv_with_sender(0);
        (server, message)
    })
    .await?;
    let user_id = message.as_mut().map_err(|error| *error)?.sender().user_id().map(str::to_owned);
    ensure!(user_id == Some(alice.public.to_string()), "the server took the sender for {user_id:?}");
    ensure!(server.poll(zmq::POLLIN, 0)? == 0, "a message of someone who wasn't let in reached the server");
    println!("The server got one message, and knows by her public key that it is Alice's.");

    // Nobody is let in from here on: the server's socket is closed to new clients while no handler answers.
    let policy = auth.clone();
    auth.stop().await?;
    let counted = policy.counters();
    ensure!((counted.allowed, counted.denied) == (1, 1), "one allowed, one denied was expected: {counted:?}");
    println!("Stopped: {} let in, {} refused.", counted.allowed, counted.denied);
    Ok(())
}

/// A client that sends one message, as far as it gets.
fn knock(context: &zmq::Context, endpoint: &str, keys: &KeyPair, server: &PublicKey) -> Result<Handshake> {
    let mut client = context.socket(zmq::PUSH)?;
    client.curve_client(keys, server)?;
    // An allowed client's message is on its way when the handshake is over; a refused one's is thrown away.
    client.set_linger(0)?;
    let mut client = MonitoredSocket::new(context, client)?;
    client.connect(endpoint)?;
    client.send("hello", 0)?;
    let seen = client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")?;
    if seen == Handshake::Authenticated {
        client.set_linger(PATIENCE.as_millis() as i32)?;
    }
    Ok(seen)
}
