//! CURVE at its strictest ("ironhouse"): the client authenticates the server by its public key, the server authenticates each
//! client by theirs, and everything between them is encrypted. Shown from both ends: a client that is accepted, an unknown
//! one, one with a wrong server key, and one without keys.
//!
//! ```sh
//! cargo run --example ironhouse
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Authenticator, Handshake, KeyPair, MonitoredSocket, SocketExt, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let server_keys = KeyPair::generate()?;
    let (alice, mallory) = (KeyPair::generate()?, KeyPair::generate()?);

    let auth = Authenticator::new();
    auth.configure_curve_keys("house", [alice.public])?;
    let context = zmq::Context::new();
    let _running = auth.start(&context)?;

    let mut server = context.socket(zmq::PULL)?;
    server.curve_server(&server_keys, "house")?;
    server.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    // Before bind, so that no handshake is missed.
    let mut server = MonitoredSocket::new(&context, server)?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");

    // What each end should see. `Mismatch` is an end that isn't told why, because libzmq doesn't tell it.
    let visitors = [
        ("Alice, whose key is on the list", Some((&alice, server_keys.public)), Expect::In),
        // He has keys, and even the server's public key, but his key isn't listed.
        ("Mallory, whose key isn't", Some((&mallory, server_keys.public)), Expect::Denied),
        // Her client refuses a server with another key. The ZAP handler is never asked.
        ("Alice, who was told a wrong server key", Some((&alice, mallory.public)), Expect::Mismatch),
        ("Trudy, without any keys", None, Expect::Mismatch),
    ];
    for (who, keys, expected) in visitors {
        let mut client = context.socket(zmq::PUSH)?;
        if let Some((own, servers)) = keys {
            client.curve_client(own, &servers)?;
        }
        // Discard what a refused client has queued, so that it doesn't keep the context from ending.
        client.set_linger(0)?;
        let mut client = MonitoredSocket::new(&context, client)?;
        client.connect(&endpoint)?;
        client.send("hello", 0)?;

        let client_saw = client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")?;
        let server_saw = server.wait_for_handshake(PATIENCE)?.context("the server heard nothing")?;
        println!("{who}:\n    the client saw: {client_saw}\n    the server saw: {server_saw}");
        ensure!(expected.fits(client_saw) && expected.fits(server_saw), "{who}: {expected:?} was expected");

        if let Expect::In = expected {
            let message = server.recv_with_sender(0)?;
            let user_id = message.sender().user_id().map(str::to_owned);
            ensure!(user_id == Some(alice.public.to_string()), "the server took the sender for {user_id:?}");
            println!("    the server got her message, and knows whose it is by her public key");
        }
    }

    ensure!(server.poll(zmq::POLLIN, 0)? == 0, "a refused client's message reached the server");
    let counted = auth.counters();
    ensure!((counted.allowed, counted.denied) == (1, 1), "one allowed, one denied was expected: {counted:?}");
    println!("Nobody else's message reached the server.");
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Expect {
    In,
    Denied,
    Mismatch,
}

impl Expect {
    fn fits(self, seen: Handshake) -> bool {
        match self {
            Expect::In => seen == Handshake::Authenticated,
            Expect::Denied => seen == Handshake::Denied(400),
            Expect::Mismatch => matches!(seen, Handshake::Failed(_)),
        }
    }
}
