//! A tokio server with the `tmq` crate: its REP socket is set up with `SocketExt` before it is bound, and the handler runs
//! in the same runtime. Authorised clients get a reply with their name, others are refused.
//!
//! ```sh
//! cargo run -p tmq_server
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tmq::FromZmqSocket;
use tmq::request_reply::RequestReceiver;
use tokio::task::spawn_blocking;
use zmq_auth::{Authenticator, Handshake, KeyPair, MonitoredSocket, PublicKey, Sender, SocketExt, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<()> {
    let (server_keys, alice, mallory) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    let (alices_key, server_key) = (alice.public, server_keys.public);

    let auth = Authenticator::new();
    auth.configure_curve_callback_async("greeter", move |key, _peer| async move {
        tokio::task::yield_now().await; // ask somebody
        key == alices_key
    })?;
    auth.curve_user_id(|_key| "alice".into());
    // `tmq::Context` is `zmq::Context`, so the handler and tmq's sockets share one.
    let context = tmq::Context::new();
    let running = auth.start_async(&context).await?;

    let (receiver, endpoint) = guarded_reply(&context, &server_keys, "greeter")?;
    let serving = tokio::spawn(serve(receiver));

    let visit = |keys: KeyPair| {
        let (context, endpoint) = (context.clone(), endpoint.clone());
        spawn_blocking(move || visit(&context, &endpoint, &keys, &server_key))
    };
    // Both at once: neither handshake waits for the other.
    let (alice, mallory) = tokio::try_join!(visit(alice), visit(mallory))?;
    let (alice, mallory) = (alice?, mallory?);
    println!("Alice: {alice}");
    println!("Mallory: {mallory}");
    ensure!(alice == "authenticated, \"good morning, alice\"", "Alice is to be answered");
    ensure!(mallory == "denied (400)", "Mallory must be refused");

    // A tmq socket is closed with its task.
    serving.abort();
    ensure!(serving.await.is_err_and(|error| error.is_cancelled()), "the server ended by itself");
    running.stop().await?;
    println!("Stopped.");
    Ok(())
}

/// tmq's builder binds in its last step, and has no call for `ZAP_ENFORCE_DOMAIN`, without which a server accepts everybody
/// once its handler is gone. So the socket is created with `zmq`, set up and bound, and then given to tmq.
fn guarded_reply(context: &zmq::Context, keys: &KeyPair, domain: &str) -> Result<(RequestReceiver, String)> {
    let mut socket = context.socket(zmq::REP)?;
    socket.curve_server(keys, domain)?;
    socket.set_linger(0)?;
    socket.bind("tcp://127.0.0.1:*")?;
    let endpoint = socket.get_last_endpoint()?.expect("endpoints are text");
    Ok((RequestReceiver::from_zmq_socket(socket)?, endpoint))
}

/// Replies to each request with the sender's name, until it is aborted.
async fn serve(mut receiver: RequestReceiver) -> Result<()> {
    loop {
        let (mut request, sender) = receiver.recv().await?;
        let greeting = match request.iter_mut().next() {
            Some(message) => format!("good morning, {}", Sender::of(message).user_id().unwrap_or("whoever you are")),
            None => "good morning".to_owned(),
        };
        receiver = sender.send(zmq::Message::from(&greeting).into()).await?;
    }
}

/// Connects one new client on another thread; returns the outcome of its handshake, and the reply.
fn visit(context: &zmq::Context, endpoint: &str, keys: &KeyPair, server: &PublicKey) -> Result<String> {
    let mut client = context.socket(zmq::REQ)?;
    client.curve_client(keys, server)?;
    client.set_linger(0)?;
    client.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    let mut client = MonitoredSocket::new(context, client)?;
    client.connect(endpoint)?;
    client.send("good morning", 0)?;
    let seen = client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")?;
    if seen != Handshake::Authenticated {
        return Ok(seen.to_string());
    }
    let answer = client.recv_string(0)?.ok().context("the answer is no text")?;
    Ok(format!("{seen}, {answer:?}"))
}
