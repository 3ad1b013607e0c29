//! Keys without certificate metadata and without a socket: make, save, load and share them.
//!
//! ```sh
//! cargo run --example key_management
//! ```

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use zmq_auth::{Error, KeyPair, PublicKey, SecretKey};

fn main() -> Result<()> {
    log::set_logger(&WARNINGS).map(|()| log::set_max_level(log::LevelFilter::Warn))?;
    let directory = tempfile::tempdir()?;
    let (secret_file, public_file) = (directory.path().join("server.key_secret"), directory.path().join("server.key"));

    // -- generate ------------------------------------------------------------------------------------------------------
    let keys = KeyPair::generate()?;
    println!("Made a pair. Debug shows only the public key: {keys:?}");
    ensure!(!format!("{keys:?}").contains(keys.secret.to_z85().as_str()), "Debug shows the secret key");

    // -- save ----------------------------------------------------------------------------------------------------------
    zmq_auth::save_certificate(&secret_file, &keys.public, Some(&keys.secret))?;
    zmq_auth::save_certificate(&public_file, &keys.public, None)?;
    println!(
        "Saved server.key_secret with mode {:03o}, server.key with {:03o}",
        mode(&secret_file)?,
        mode(&public_file)?
    );
    ensure!(mode(&secret_file)? == 0o600, "others can read the secret key");
    let again = zmq_auth::save_certificate(&secret_file, &keys.public, Some(&keys.secret));
    ensure!(matches!(again, Err(Error::Exists { .. })), "a key file was overwritten");

    // -- load ----------------------------------------------------------------------------------------------------------
    let (public, secret) = zmq_auth::load_certificate(&secret_file)?;
    let loaded = KeyPair { public, secret: secret.context("the secret file has no secret key")? };
    ensure!(loaded == keys, "other keys than the saved ones");
    ensure!(WARNINGS.take().is_empty(), "a warning about a file that nobody else can read");
    println!("Loaded the same keys again");

    // Backups, archives and copies loosen modes. The key is loaded all the same, so that the server starts, but somebody
    // else may have it by now.
    fs::set_permissions(&secret_file, Permissions::from_mode(0o644))?;
    zmq_auth::load_certificate(&secret_file)?;
    let warnings = WARNINGS.take().join("\n").replace(&*directory.path().to_string_lossy(), "…");
    println!("After chmod 644: {warnings}");
    ensure!(warnings.contains("644"), "no warning about a secret key that everyone can read");

    // -- derive and check ----------------------------------------------------------------------------------------------
    // Only the secret key must be stored, here as text, as in an environment variable or a vault. The string from `to_z85`
    // is wiped when dropped.
    let text = keys.secret.to_z85();
    let secret: SecretKey = text.parse()?;
    ensure!(zmq_auth::curve_public(&secret)? == keys.public, "another public key");
    ensure!(KeyPair::from_secret(secret)? == keys, "another pair");
    println!("Computed the public key from the secret one");

    let mixed = KeyPair { public: keys.public, secret: KeyPair::generate()?.secret };
    println!("Halves of two pairs: {}", mixed.check().err().context("they passed for a pair")?);

    // -- share ---------------------------------------------------------------------------------------------------------
    // Public keys are 40 characters of text (Z85), for a configuration file or an email.
    let shared = keys.public.to_string();
    ensure!(shared.parse::<PublicKey>()? == keys.public, "another key after parsing");
    println!("A client of this server needs {shared}");
    let error = shared[1..].parse::<PublicKey>().err().context("39 characters passed for a key")?;
    println!("One character too few: {error}");
    Ok(())
}

fn mode(file: &Path) -> Result<u32> {
    Ok(fs::metadata(file)?.permissions().mode() & 0o777)
}

/// The crate warns through `log`. A program usually has a logger; this one keeps the warnings, to show them.
struct Warnings(Mutex<Vec<String>>);

static WARNINGS: Warnings = Warnings(Mutex::new(Vec::new()));

impl Warnings {
    fn take(&self) -> Vec<String> {
        self.0.lock().map(|mut warnings| std::mem::take(&mut *warnings)).unwrap_or_default()
    }
}

impl log::Log for Warnings {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.level() <= log::Level::Warn
    }

    fn log(&self, record: &log::Record) {
        if let (true, Ok(mut warnings)) = (self.enabled(record.metadata()), self.0.lock()) {
            warnings.push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}
