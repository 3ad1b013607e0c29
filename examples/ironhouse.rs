//! CURVE at its strictest ("ironhouse"): the client knows the server by its public key, the server knows each client by
//! theirs, and everything between them is encrypted. Shown from both ends: a client that is let in, one that isn't, one
//! that was given a wrong server key, and one that comes without any keys.
//!
//! ```sh
//! cargo run --example ironhouse
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Authenticator, Handshake, KeyPair, MonitoredSocket, SocketExt, zmq};

/// Nothing here takes that long: it bounds the wait where something is broken.
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

    // What each end should see. `Mismatch` stands for an end that can't tell why, for libzmq doesn't tell it.
    let visitors = [
        ("Alice, whose key is on the list", Some((&alice, server_keys.public)), Expect::In),
        // He has keys, and even the server's public one, but nobody put his on the list.
        ("Mallory, whose key isn't", Some((&mallory, server_keys.public)), Expect::Denied),
        // She doesn't talk to a server that isn't hers. The ZAP handler is never asked.
        ("Alice, who was told a wrong server key", Some((&alice, mallory.public)), Expect::Mismatch),
        ("Trudy, without any keys", None, Expect::Mismatch),
    ];
    for (who, keys, expected) in visitors {
        let mut client = context.socket(zmq::PUSH)?;
        if let Some((own, servers)) = keys {
            client.curve_client(own, &servers)?;
        }
        // What a refused client has queued is thrown away with it, and doesn't keep the context from ending.
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

    ensure!(server.poll(zmq::POLLIN, 0)? == 0, "a message of someone who wasn't let in reached the server");
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
