//! Domains: one handler, two servers, one poller, and a list of keys for each server.
//!
//! ```sh
//! cargo run --example domains
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Authenticator, Handshake, KeyPair, MonitoredSocket, SocketExt, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let server_keys = KeyPair::generate()?;
    let (alice, bob, mallory) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);

    let auth = Authenticator::new();
    auth.configure_curve_keys("office", [alice.public])?;
    auth.configure_curve_keys("workshop", [alice.public, bob.public])?;
    let context = zmq::Context::new();
    let _running = auth.start(&context)?;

    // Both servers have the same keys; only the domain differs.
    let open = |domain| -> Result<zmq::Socket> {
        let mut server = context.socket(zmq::PULL)?;
        server.curve_server(&server_keys, domain)?;
        server.bind("tcp://127.0.0.1:*")?;
        Ok(server)
    };
    let servers = [("office", open("office")?), ("workshop", open("workshop")?)];
    // The next message of either server; 0 ms checks whether there is one.
    let next = |patience: i64| -> Result<Option<(&str, String)>> {
        let mut items = servers.each_ref().map(|(_, server)| server.as_poll_item(zmq::POLLIN));
        zmq::poll(&mut items, patience)?;
        let Some(ready) = items.iter().position(zmq::PollItem::is_readable) else { return Ok(None) };
        let (domain, server) = &servers[ready];
        let message = server.recv_with_sender(0)?;
        Ok(Some((domain, message.sender().user_id().unwrap_or_default().to_owned())))
    };

    let people = [("Alice", &alice, [true, true]), ("Bob", &bob, [false, true]), ("Mallory", &mallory, [false, false])];
    for (who, keys, may_enter) in people {
        for ((domain, server), may_enter) in servers.iter().zip(may_enter) {
            let mut client = context.socket(zmq::PUSH)?;
            client.curve_client(keys, &server_keys.public)?;
            client.set_linger(0)?;
            let mut client = MonitoredSocket::new(&context, client)?;
            client.connect(&server.get_last_endpoint()?.expect("endpoints are text"))?;
            client.send("hello", 0)?;

            let seen = client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")?;
            println!("{who} at the {domain}: {seen}");
            let expected = if may_enter { Handshake::Authenticated } else { Handshake::Denied(400) };
            ensure!(seen == expected, "{who} at the {domain}: {expected} was expected");
            if may_enter {
                let arrived = next(PATIENCE.as_millis() as i64)?.context("no message arrived")?;
                println!("    a message arrived at the {}", arrived.0);
                ensure!(arrived == (domain, keys.public.to_string()), "at the wrong server, or from someone else's");
            }
        }
    }
    ensure!(next(0)?.is_none(), "a message of someone who was denied arrived");
    Ok(())
}
