//! The directory of a run: keys, a policy, and the service's socket.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;
use zmq_auth::{Authenticator, Certificate, KeyPair, PublicKey, save_certificate};

use super::DOMAIN;

/// The number of keys that the front accepts.
const KEYS: usize = 100;

pub(crate) struct Place {
    directory: TempDir,
    /// The key pair of all clients.
    pub(crate) client: KeyPair,
    pub(crate) server: PublicKey,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let server = Certificate::generate()?;
        server.save_pair(&directory, "server")?;
        let clients = directory.path().join("clients");
        fs::create_dir(&clients)?;
        let client = KeyPair::generate()?;
        save_certificate(clients.join("client.key"), &client.public, None)?;
        for other in 1..KEYS {
            save_certificate(clients.join(format!("other-{other}.key")), &KeyPair::generate()?.public, None)?;
        }
        let policy = format!("[domain.{DOMAIN}]\ncurve = {{ directory = \"clients\" }}\nnull = \"allow\"\n");
        fs::write(directory.path().join("policy.toml"), policy)?;
        Ok(Place { directory, client, server: server.public_key() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The endpoint of the service behind a contestant.
    pub(crate) fn back(&self, contestant: &str) -> String {
        format!("ipc://{}", self.path().join(contestant).with_extension("sock").display())
    }
}

/// The server's certificate in a place's directory.
pub(crate) fn server_certificate(directory: &Path) -> PathBuf {
    directory.join("server.key_secret")
}

/// The same policy as in the file, for the contestants other than the gate.
pub(crate) fn policy(directory: &Path) -> Result<Authenticator> {
    let policy = Authenticator::new();
    policy.configure_curve(DOMAIN, directory.join("clients"))?;
    Ok(policy)
}
