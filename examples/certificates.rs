//! Certificate files, which pyzmq and czmq read and write too: made, loaded, given metadata, replaced; and a server that
//! accepts the certificates in its directory.
//!
//! ```sh
//! cargo run --example certificates
//! ```

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Authenticator, Certificate, Error, Handshake, KeyPair, MonitoredSocket, PublicKey, SocketExt, zmq};

/// A deadline in case something is broken; nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<()> {
    let directory = tempfile::tempdir()?;
    // Each party keeps its own secret file. The server needs only the clients' public files.
    let (alices, servers) = (directory.path().join("alice"), directory.path().join("server"));
    let clients = servers.join("clients");
    fs::create_dir(&alices)?;
    fs::create_dir_all(&clients)?;

    // -- make and load -------------------------------------------------------------------------------------------------
    let (public_file, secret_file) = zmq_auth::create_certificates(&servers, "server")?;
    let (public, secret) = zmq_auth::load_certificate(&secret_file)?;
    let server_keys = KeyPair { public, secret: secret.context("the secret file has no secret key")? };
    ensure!(zmq_auth::load_certificate(&public_file)?.1.is_none(), "the public file holds a secret key");
    println!("Made and loaded {} and {}", name(&public_file), name(&secret_file));

    // -- metadata ------------------------------------------------------------------------------------------------------
    let alice = Certificate::generate()?.with_metadata("name", "Alice")?.with_metadata("team", "blue")?;
    alice.save_pair(&alices, "alice")?;
    // As in pyzmq, the pair's public file has only the key. This one has the metadata too, for the server.
    alice.save_public(clients.join("alice.key"))?;
    let loaded = Certificate::load(alices.join("alice.key_secret"))?;
    ensure!(loaded == alice, "the certificate changed on its way through the file");
    println!("Alice's certificate says {:?}", loaded.metadata().iter().collect::<Vec<_>>());

    let auth = Authenticator::new();
    auth.configure_curve("lab", &clients)?;
    let context = zmq::Context::new();
    let _running = auth.start(&context)?;
    let mut server = context.socket(zmq::PULL)?;
    server.curve_server(&server_keys, "lab")?;
    server.set_rcvtimeo(PATIENCE.as_millis() as i32)?;
    server.bind("tcp://127.0.0.1:*")?;
    let visit = |certificate: &Certificate| visit(&context, certificate, &server_keys.public, &server);
    let seen = visit(&alice)?;
    println!("Alice: {seen}, for her certificate's metadata comes with her message");
    ensure!(seen == "authenticated, as Alice (blue)", "not what her certificate says");

    // -- replace -------------------------------------------------------------------------------------------------------
    let renewed = Certificate::generate()?.with_metadata("name", "Alice")?.with_metadata("team", "red")?;
    renewed.replace_pair(&alices, "alice")?;
    // `save_public` doesn't overwrite.
    fs::remove_file(clients.join("alice.key"))?;
    renewed.save_public(clients.join("alice.key"))?;
    // The directory is read when it is configured, and not watched.
    auth.configure_curve("lab", &clients)?;
    let seen = visit(&renewed)?;
    println!("Alice with her new certificate: {seen}");
    ensure!(seen == "authenticated, as Alice (red)", "the new certificate doesn't count");
    let seen = visit(&alice)?;
    println!("Alice with her old one: {seen}");
    ensure!(seen == "denied (400)", "the old certificate still counts");

    // -- what is refused -----------------------------------------------------------------------------------------------
    let refusal = alice.save_pair(&alices, "alice").err().context("an existing file was overwritten")?;
    ensure!(matches!(refusal, Error::Exists { .. }), "another error was expected: {refusal}");
    println!("Overwriting by accident: an existing {} is refused", name(&alices.join("alice.key_secret")));

    let refusal = renewed.clone().with_metadata("name", "Alice\n    secret-key = …").err();
    println!("A line break in metadata: {}", refusal.context("metadata could forge lines of the file")?);

    fs::write(clients.join("broken.key"), "curve\n    public-key = \"short\"\n")?;
    let refusal = auth.configure_curve("lab", &clients).err().context("a broken key was loaded")?;
    println!("A directory with a broken file: {}", refusal.to_string().replace(&*clients.to_string_lossy(), "…"));
    ensure!(matches!(refusal, Error::Certificate { line: Some(2), .. }), "the file and line should have been named");
    let seen = visit(&renewed)?;
    println!("… and the keys that were loaded before still count: {seen}");
    ensure!(seen == "authenticated, as Alice (red)", "a failed reload changed who is accepted");
    Ok(())
}

/// Connects one new client; returns the outcome of its handshake, and what the server knows about it if its message arrives.
fn visit(
    context: &zmq::Context,
    certificate: &Certificate,
    server_key: &PublicKey,
    server: &zmq::Socket,
) -> Result<String> {
    let mut client = context.socket(zmq::PUSH)?;
    client.curve_client(certificate.key_pair().context("a client needs its secret key")?, server_key)?;
    client.set_linger(0)?;
    let mut client = MonitoredSocket::new(context, client)?;
    client.connect(&server.get_last_endpoint()?.expect("endpoints are text"))?;
    client.send("hello", 0)?;
    let seen = client.wait_for_handshake(PATIENCE)?.context("the client heard nothing")?;
    if seen != Handshake::Authenticated {
        return Ok(seen.to_string());
    }
    let message = server.recv_with_sender(0)?;
    let sender = message.sender();
    let name = sender.property("name").unwrap_or("nobody").to_owned();
    let team = sender.property("team").unwrap_or("no team");
    Ok(format!("{seen}, as {name} ({team})"))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}
