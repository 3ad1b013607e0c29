//! An echoing ROUTER socket of omq-tokio, with an authenticator callback that looks up a set of 100 keys. The argument
//! is a directory with server.key_secret and clients/*.key. It prints its endpoint, and ends with its input.

use std::collections::HashSet;
use std::error::Error;
use std::io::Read;
use std::path::Path;

use omq_tokio::{
    AuthenticationResult, Authenticator, CurveKeypair, CurvePublicKey, CurveSecretKey, CurveServerOptions, Endpoint,
    MechanismSetup, Options, Socket, SocketType,
};

fn key(file: &Path, name: &str) -> Result<String, Box<dyn Error>> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{name} ="))).ok_or("no such key")?;
    Ok(line.split('"').nth(1).ok_or("no quotes")?.into())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let directory = std::env::args().nth(1).ok_or("a directory")?;
    let directory = Path::new(&directory);
    let mut known = HashSet::new();
    for entry in std::fs::read_dir(directory.join("clients"))? {
        known.insert(CurvePublicKey::from_z85(&key(&entry?.path(), "public-key")?)?.to_z85());
    }
    let secret = CurveSecretKey::from_z85(&key(&directory.join("server.key_secret"), "secret-key")?)?;
    let authenticator = Authenticator::new_with_result(move |peer| {
        match known.contains(&CurvePublicKey::from_bytes(peer.public_key).to_z85()) {
            true => AuthenticationResult::allow(),
            false => AuthenticationResult::deny(),
        }
    });
    let mut options = CurveServerOptions::default();
    options.authenticator = Some(authenticator);
    let our_keypair = CurveKeypair { public: secret.derive_public(), secret };
    let mechanism = MechanismSetup::CurveServer { our_keypair, options };
    let socket = Socket::new(SocketType::Router, Options { mechanism, ..Default::default() });
    let wanted = std::env::var("BENCH_ENDPOINT").unwrap_or_else(|_| "tcp://127.0.0.1:*".into());
    let endpoint = socket.bind(wanted.replace(":*", ":0").parse::<Endpoint>()?).await?;
    println!("{endpoint}");
    let router = socket.identity_routing()?;
    loop {
        let (peer, message) = router.recv_from().await?;
        // The client may have left already.
        let _ = router.send_to(&peer, message).await;
    }
}
