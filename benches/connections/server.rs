//! The handle of a server's process, and the keys that both processes use.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use zmq_auth::{Certificate, KeyPair, PublicKey, save_certificate};
use zmq_auth_benches::processor_time;

use super::KEYS;
use super::contestants::{Available, Contestant};

/// The argument that makes this program a server.
pub(crate) const SERVE: &str = "serve";

/// The environment variable with the endpoint that a server should bind.
pub(crate) const ENDPOINT: &str = "BENCH_ENDPOINT";

/// The keys of a run, and the directory with their certificates.
pub(crate) struct KeyFiles {
    pub(crate) directory: TempDir,
    /// The clients' key pair.
    pub(crate) client: KeyPair,
    pub(crate) server: PublicKey,
}

/// The server's certificate in the directory of a [`KeyFiles`].
pub(crate) fn server_certificate(directory: &Path) -> PathBuf {
    directory.join("server.key_secret")
}

/// The certificates of the accepted clients in the directory of a [`KeyFiles`].
pub(crate) fn clients(directory: &Path) -> PathBuf {
    directory.join("clients")
}

impl KeyFiles {
    pub(crate) fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let server = Certificate::generate()?;
        server.save_pair(&directory, "server")?;
        let clients = clients(directory.path());
        fs::create_dir(&clients)?;
        let client = KeyPair::generate()?;
        save_certificate(clients.join("client.key"), &client.public, None)?;
        for other in 1..KEYS {
            save_certificate(clients.join(format!("other-{other}.key")), &KeyPair::generate()?.public, None)?;
        }
        Ok(KeyFiles { directory, client, server: server.public_key() })
    }

    /// Saves the client's keys for clients in another process.
    pub(crate) fn save_client(&self) -> Result<()> {
        let file = self.directory.path().join("client.key_secret");
        if !file.exists() {
            save_certificate(file, &self.client.public, Some(&self.client.secret))?;
        }
        Ok(())
    }
}

/// A running server; it ends when this is dropped.
pub(crate) struct Server {
    contestant: Contestant,
    child: Child,
    endpoint: String,
}

impl Server {
    pub(crate) fn start(contestant: &Available, files: &KeyFiles) -> Result<Self> {
        Self::spawn(contestant.contestant, contestant.command(files))
    }

    /// Starts a server at this endpoint, confined to this processor.
    pub(crate) fn start_at(contestant: &Available, files: &KeyFiles, endpoint: &str, processor: usize) -> Result<Self> {
        let mut command = on_processor(processor, &contestant.command(files));
        command.env(ENDPOINT, endpoint);
        Self::spawn(contestant.contestant, command)
    }

    fn spawn(contestant: Contestant, mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut endpoint = String::new();
        let said = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut endpoint));
        // From here on, dropping it ends the process.
        let server = Server { contestant, child, endpoint: endpoint.trim().to_owned() };
        said.context("a pipe was asked for")??;
        ensure!(server.endpoint.starts_with("tcp://"), "{} doesn't start", contestant.name());
        Ok(server)
    }

    pub(crate) fn contestant(&self) -> Contestant {
        self.contestant
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The processor time used by its threads so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        processor_time::of(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It would end by itself at the end of its input, but this is faster.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same command, confined to this processor.
pub(crate) fn on_processor(processor: usize, command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", &processor.to_string()]).arg(command.get_program()).args(command.get_args());
    pinned
}
