//! CURVE decided by your own function: here with a table of members that changes while the server runs. The function can
//! also set the user id and metadata, which come with each of the client's messages.
//!
//! ```sh
//! cargo run --example curve_callback
//! ```

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Authenticator, Handshake, KeyPair, Metadata, MonitoredSocket, PublicKey, SocketExt, Verdict, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
struct Member {
    name: &'static str,
    role: &'static str,
    suspended: bool,
}

fn main() -> Result<()> {
    let server_keys = KeyPair::generate()?;
    let (alice, bob, mallory) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    let members = Arc::new(RwLock::new(HashMap::from([
        (alice.public, Member { name: "alice", role: "admin", suspended: false }),
        (bob.public, Member { name: "bob", role: "reader", suspended: true }),
    ])));

    let auth = Authenticator::new();
    let table = members.clone();
    // It runs on another thread, so a slow call doesn't delay other clients. If it panics or returns an `Err`, only this
    // client is refused, with 500.
    auth.configure_curve_callback("club", move |key, _peer| -> Result<Verdict, String> {
        let member = table.read().map_err(|_| "the table of members is broken")?.get(key).copied();
        Ok(match member {
            None => false.into(),
            Some(Member { suspended: true, .. }) => Verdict::Deny("suspended".into()),
            Some(Member { name, role, .. }) => {
                let mut metadata = Metadata::default();
                metadata.insert("role", role).map_err(|error| error.to_string())?;
                Verdict::AllowAs { user_id: name.into(), metadata }
            }
        })
    })?;
    let context = zmq::Context::new();
    let _running = auth.start(&context)?;

    let mut server = context.socket(zmq::PULL)?;
    server.curve_server(&server_keys, "club")?;
    server.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    server.bind("tcp://127.0.0.1:*")?;
    let endpoint = server.get_last_endpoint()?.expect("endpoints are text");
    let visit = |keys| visit(&context, keys, &server_keys.public, &endpoint, &server);

    let seen = visit(&alice)?;
    println!("Alice: {seen}");
    ensure!(seen == "authenticated, as alice (admin)", "Alice is a member");

    let seen = visit(&mallory)?;
    println!("Mallory: {seen}");
    ensure!(seen == "denied (400)", "Mallory is no member");

    let seen = visit(&bob)?;
    println!("Bob, who is suspended: {seen}");
    ensure!(seen == "denied (400)", "Bob is suspended");

    // The next call sees the changed table. (A connected client stays connected.)
    if let Ok(mut members) = members.write() {
        members.remove(&alice.public);
        members.entry(bob.public).and_modify(|member| member.suspended = false);
    }
    let seen = visit(&bob)?;
    println!("Bob, taken back: {seen}");
    ensure!(seen == "authenticated, as bob (reader)", "Bob is a member again");

    let seen = visit(&alice)?;
    println!("Alice, after she left the club: {seen}");
    ensure!(seen == "denied (400)", "Alice isn't a member any more");
    Ok(())
}

/// Connects one new client; returns the outcome of its handshake, and the user id if its message arrives.
fn visit(
    context: &zmq::Context,
    keys: &KeyPair,
    server_key: &PublicKey,
    endpoint: &str,
    server: &zmq::Socket,
) -> Result<String> {
    let mut client = context.socket(zmq::PUSH)?;
    client.curve_client(keys, server_key)?;
    client.set_linger(0)?;
    let mut client = MonitoredSocket::new(context, client)?;
    client.connect(endpoint)?;
    client.send("hello", 0)?;
    let seen = client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")?;
    if seen != Handshake::Authenticated {
        return Ok(seen.to_string());
    }
    let message = server.recv_with_sender(0)?;
    let sender = message.sender();
    let name = sender.user_id().unwrap_or("nobody").to_owned();
    let role = sender.property("role").unwrap_or("no role");
    Ok(format!("{seen}, as {name} ({role})"))
}
