//! NULL with address rules and PLAIN: what works with every libzmq.

use zmq_auth::{Authenticator, SocketExt};

use crate::wire::{DOMAIN, Outcome, bind, expect_refusal, expect_reply, socket};

/// One client that is accepted, and one that is refused after its address was denied.
pub fn null() -> Outcome {
    let context = zmq::Context::new();
    let policy = Authenticator::new();
    policy.allow(["127.0.0.1"])?;
    let guard = policy.start(&context)?;
    let mut server = socket(&context, zmq::REP)?;
    server.null_server(DOMAIN)?;
    let endpoint = bind(&server)?;

    expect_reply(&server, &socket(&context, zmq::REQ)?, &endpoint)?;
    policy.deny(["127.0.0.0/8"])?;
    expect_refusal(&context, &socket(&context, zmq::REQ)?, &endpoint)?;
    guard.stop()?;
    println!("NULL: the allowed address was served, the denied one refused");
    Ok(())
}

/// One client with the right password, one with a wrong one.
pub fn plain() -> Outcome {
    let context = zmq::Context::new();
    let policy = Authenticator::new();
    policy.configure_plain(DOMAIN, [("alice", "right")])?;
    let guard = policy.start(&context)?;
    let mut server = socket(&context, zmq::REP)?;
    server.plain_server(DOMAIN)?;
    let endpoint = bind(&server)?;

    let mut alice = socket(&context, zmq::REQ)?;
    alice.plain_client("alice", "right")?;
    expect_reply(&server, &alice, &endpoint)?;
    let mut mallory = socket(&context, zmq::REQ)?;
    mallory.plain_client("alice", "wrong")?;
    expect_refusal(&context, &mallory, &endpoint)?;
    guard.stop()?;
    println!("PLAIN: the right password was served, the wrong one refused");
    Ok(())
}
