//! CURVE, if libzmq has it.

use zmq_auth::{Authenticator, KeyPair, SocketExt, curve_available, curve_public};

use crate::wire::{DOMAIN, Outcome, bind, expect_refusal, expect_reply, socket};

/// One client with a known key, one with an unknown key.
pub fn curve() -> Outcome {
    if !curve_available() {
        return Err("curve_available() says no".into());
    }
    let (keys, alice_keys, mallory_keys) = (KeyPair::generate()?, KeyPair::generate()?, KeyPair::generate()?);
    if curve_public(&keys.secret)? != keys.public {
        return Err("the halves of a new key pair don't match".into());
    }
    let context = zmq::Context::new();
    let policy = Authenticator::new();
    policy.configure_curve_keys(DOMAIN, [alice_keys.public])?;
    let guard = policy.start(&context)?;
    let mut server = socket(&context, zmq::REP)?;
    server.curve_server(&keys, DOMAIN)?;
    let endpoint = bind(&server)?;

    let mut alice = socket(&context, zmq::REQ)?;
    alice.curve_client(&alice_keys, &keys.public)?;
    expect_reply(&server, &alice, &endpoint)?;
    let mut mallory = socket(&context, zmq::REQ)?;
    mallory.curve_client(&mallory_keys, &keys.public)?;
    expect_refusal(&context, &mallory, &endpoint)?;
    guard.stop()?;
    println!("CURVE: the known key was served, the unknown one refused");
    Ok(())
}
