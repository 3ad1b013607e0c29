//! CURVE, if libzmq lacks it: every call says so, and what to do.

use zmq_auth::{Error, KeyPair, PublicKey, SecretKey, SocketExt, curve_available, curve_keypair, curve_public};

use crate::wire::{DOMAIN, Outcome, socket};

/// Every CURVE call returns `Error::CurveUnavailable`.
pub fn no_curve() -> Outcome {
    if curve_available() {
        return Err("curve_available() says yes".into());
    }
    let keys = KeyPair { public: PublicKey::from([1; 32]), secret: SecretKey::from([2; 32]) };
    let context = zmq::Context::new();
    let mut socket = socket(&context, zmq::REP)?;
    expect_unavailable("curve_keypair", curve_keypair())?;
    expect_unavailable("KeyPair::generate", KeyPair::generate())?;
    expect_unavailable("curve_public", curve_public(&keys.secret))?;
    expect_unavailable("curve_server", socket.curve_server(&keys, DOMAIN))?;
    expect_unavailable("curve_client", socket.curve_client(&keys, &keys.public))?;
    println!("CURVE: unavailable, and every call says so");
    Ok(())
}

fn expect_unavailable<T>(call: &str, result: Result<T, Error>) -> Outcome {
    match result {
        Err(error @ Error::CurveUnavailable { .. }) => {
            let advice = error.to_string();
            for way in ["[patch.crates-io]", ".cargo/config.toml"] {
                if !advice.contains(way) {
                    return Err(format!("{call}: the error doesn't name {way}: {advice}").into());
                }
            }
            Ok(())
        }
        Err(other) => Err(format!("{call}: expected CurveUnavailable, got: {other}").into()),
        Ok(_) => Err(format!("{call} succeeded without CURVE").into()),
    }
}
