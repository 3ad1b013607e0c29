//! PLAIN: a user name and a password. Both cross the network in clear text: use it on your own network, and CURVE (the
//! example `ironhouse`) everywhere else.
//!
//! ```sh
//! cargo run --example plain
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Authenticator, Handshake, MonitoredSocket, SocketExt, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let auth = Authenticator::new();
    auth.configure_plain("shop", [("alice", "correct horse battery staple")])?;

    // The handler runs before any socket binds, until this is dropped.
    let context = zmq::Context::new();
    let _running = auth.start(&context)?;

    let mut server = context.socket(zmq::REP)?;
    server.plain_server("shop")?;
    server.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");

    let clients = [
        ("Alice with her password", "alice", "correct horse battery staple", Handshake::Authenticated),
        ("Alice with a wrong one", "alice", "Tr0ub4dor&3", Handshake::Denied(400)),
        ("Mallory, who is no user", "mallory", "correct horse battery staple", Handshake::Denied(400)),
    ];
    for (who, user, password, expected) in clients {
        let mut client = context.socket(zmq::REQ)?;
        client.plain_client(user, password)?;
        // A refused client's request is never sent. With the default linger it would keep the context from ending.
        client.set_linger(0)?;
        client.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
        let mut client = MonitoredSocket::new(&context, client)?;
        client.connect(&endpoint)?;
        client.send("what do you sell?", 0)?;

        let seen = client.wait_for_handshake(PATIENCE)?.context("the handshake didn't end")?;
        println!("{who}: {seen}");
        ensure!(seen == expected, "{who} should have been {expected}");

        if seen == Handshake::Authenticated {
            let request = server.recv_with_sender(0)?;
            let user_id = request.sender().user_id().map(str::to_owned);
            ensure!(user_id.as_deref() == Some("alice"), "the server took the sender for {user_id:?}");
            println!("  the server knows who asks: {user_id:?}");
            server.send("horses", 0)?;
            ensure!(client.recv_bytes(0)? == b"horses", "not the server's answer");
        }
    }

    ensure!(server.poll(zmq::POLLIN, 0)? == 0, "a refused client's request reached the server");
    println!("No request of a refused client reached the server.");
    Ok(())
}
