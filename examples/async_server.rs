//! The handler in a tokio program: the same policy, without a thread of its own. A CURVE server accepts the client whose key
//! is listed and refuses the other; both ends are shown. The runtime has one thread.
//!
//! ```sh
//! cargo run --features tokio --example async_server
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::task::spawn_blocking;
use zmq_auth::{AsyncAuthenticator, Handshake, KeyPair, MonitoredSocket, PublicKey, SocketExt, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let (server_keys, alice, mallory) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    let context = zmq::Context::new();

    // The handler runs from here on. (To configure the policy first, use `Authenticator::start_async`.)
    let auth = AsyncAuthenticator::start(&context).await?;
    auth.allow(["127.0.0.1"])?;
    auth.configure_curve_keys("*", [alice.public])?;

    let mut server = context.socket(zmq::PULL)?;
    server.curve_server(&server_keys, "office")?;
    server.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");

    // The clients block, as other programs would. They must not do so on the runtime's thread, which runs the handler
    // that answers them.
    let mut seen = Vec::new();
    for keys in [alice.clone(), mallory] {
        let (context, endpoint, server_key) = (context.clone(), endpoint.clone(), server_keys.public);
        seen.push(spawn_blocking(move || connect(&context, &endpoint, &keys, &server_key)).await??);
    }
    println!("Alice, whose key is on the list: {}", seen[0]);
    println!("Mallory, whose key isn't: {}", seen[1]);
    ensure!(seen == [Handshake::Authenticated, Handshake::Denied(400)], "the outcomes are wrong");

    let (server, mut message) = spawn_blocking(move || {
        let message = server.recv_with_sender(0);
        (server, message)
    })
    .await?;
    let user_id = message.as_mut().map_err(|error| *error)?.sender().user_id().map(str::to_owned);
    ensure!(user_id == Some(alice.public.to_string()), "the server took the sender for {user_id:?}");
    ensure!(server.poll(zmq::POLLIN, 0)? == 0, "a refused client's message reached the server");
    println!("The server got one message, and knows by her public key that it is Alice's.");

    // Nobody is accepted from here on: without a handler, the server's socket refuses new clients.
    let policy = auth.clone();
    auth.stop().await?;
    let counted = policy.counters();
    ensure!((counted.allowed, counted.denied) == (1, 1), "one allowed, one denied was expected: {counted:?}");
    println!("Stopped: {} accepted, {} refused.", counted.allowed, counted.denied);
    Ok(())
}

/// A client that sends one message, and the outcome of its handshake.
fn connect(context: &zmq::Context, endpoint: &str, keys: &KeyPair, server: &PublicKey) -> Result<Handshake> {
    let mut client = context.socket(zmq::PUSH)?;
    client.curve_client(keys, server)?;
    // After the handshake an accepted client's message is already in flight; a refused one's is discarded.
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
