//! The credentials of a run: temporary certificates and random passwords.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use data_encoding::HEXLOWER;
use zmq_auth::zeroize::Zeroizing;
use zmq_auth::{Certificate, KeyPair, load_certificate};

use super::peer::Peer;
use super::process::Process;

/// The time limit for a peer to make or read a certificate.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The names of the certificates: the server's, an accepted client's, a refused client's, and another server's.
const NAMES: [&str; 4] = ["server", "alice", "mallory", "another"];

pub(crate) struct Credentials {
    directory: PathBuf,
    /// The user id of alice: her public key.
    pub(crate) alice: String,
}

impl Credentials {
    /// Certificates made by this program.
    pub(crate) fn make(directory: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        for name in NAMES {
            let pair = Certificate::generate().and_then(|certificate| certificate.save_pair(&directory, name));
            pair.map_err(|error| error.to_string())?;
        }
        Self::ready(directory)
    }

    /// Certificates made by a peer.
    pub(crate) fn made_by(peer: &Peer, directory: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
        for name in NAMES {
            make_by(peer, &directory, name, &[])?;
            // czmq calls them NAME and NAME_secret.
            for (its, ours) in [(name.to_owned(), "key"), (format!("{name}_secret"), "key_secret")] {
                let its = directory.join(its);
                if its.is_file() {
                    let renamed = fs::rename(its, directory.join(format!("{name}.{ours}")));
                    renamed.map_err(|error| error.to_string())?;
                }
            }
        }
        Self::ready(directory)
    }

    fn ready(directory: PathBuf) -> Result<Self, String> {
        let (alice, _) = load_certificate(directory.join("alice.key")).map_err(|error| error.to_string())?;
        let credentials = Credentials { directory, alice: alice.to_string() };
        credentials.copy_clients(&credentials.clients()).map_err(|error| error.to_string())?;
        Ok(credentials)
    }

    pub(crate) fn public(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.key"))
    }

    pub(crate) fn secret(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.key_secret"))
    }

    /// The directory that contains only alice's public certificate.
    pub(crate) fn clients(&self) -> PathBuf {
        self.directory.join("clients")
    }

    /// Copies the directory of accepted clients, for a cell that changes it.
    pub(crate) fn copy_clients(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir(directory)?;
        fs::copy(self.public("alice"), directory.join("alice.key")).map(drop)
    }
}

/// Lets a peer make a certificate; an error says why it doesn't.
pub(crate) fn make_by(peer: &Peer, directory: &Path, name: &str, metadata: &[String]) -> Result<(), String> {
    let directory = directory.to_string_lossy();
    let mut arguments = vec!["make-certificate", &*directory, name];
    arguments.extend(metadata.iter().map(String::as_str));
    // A fixed umask, so that the mode of the secret file is the peer's doing.
    let command = peer.command(&arguments);
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask 022; exec \"$@\"", "sh"]).arg(command.get_program()).args(command.get_args());
    let events = Process::start(shell)?.end(PATIENCE)?;
    match events.iter().find(|event| event["event"] == "unsupported" || event["event"] == "error") {
        Some(event) => Err(event["why"].as_str().or(event["what"].as_str()).unwrap_or("it refuses").to_owned()),
        None => Ok(()),
    }
}

/// A random password.
pub(crate) fn password() -> Result<Zeroizing<String>, String> {
    let random = KeyPair::generate().map_err(|error| error.to_string())?;
    Ok(Zeroizing::new(HEXLOWER.encode(&random.secret.as_bytes()[..16])))
}
