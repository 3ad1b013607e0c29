//! A policy file in its own directory, and requests to its policy.

use std::fs;
use std::path::{Path, PathBuf};

use zmq_auth::{Authenticator, PolicyFile, PublicKey};

use crate::harness::{log, zap};

/// A directory with a policy file.
pub(crate) struct Fixture {
    pub(crate) directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new(policy: &str) -> Self {
        log::install();
        let fixture = Fixture { directory: tempfile::tempdir().unwrap() };
        fixture.write(policy);
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the policy file by a rename.
    pub(crate) fn write(&self, policy: &str) {
        replace(&self.path("policy.toml"), policy);
    }

    #[track_caller]
    pub(crate) fn open(&self) -> PolicyFile {
        PolicyFile::open(self.path("policy.toml")).unwrap()
    }

    /// A directory with a certificate for each of these names; returns their keys.
    pub(crate) fn clients<const N: usize>(&self, directory: &str, names: [&str; N]) -> [PublicKey; N] {
        fs::create_dir_all(self.path(directory)).unwrap();
        names.map(|name| {
            let (file, _) = zmq_auth::create_certificates(self.path(directory), name).unwrap();
            fs::remove_file(file.with_extension("key_secret")).unwrap();
            PublicKey::load(file).unwrap()
        })
    }
}

pub(crate) fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

/// The status code and the user id of the reply.
pub(crate) fn ask(
    auth: &Authenticator,
    domain: &str,
    address: &str,
    mechanism: &str,
    credentials: &[&[u8]],
) -> (u16, String) {
    let reply = auth.handle_zap_message(&zap::request(domain, address, mechanism, credentials)).unwrap();
    (zap::status_of(&reply), String::from_utf8(reply[4].clone()).unwrap())
}

pub(crate) fn null(auth: &Authenticator, domain: &str, address: &str) -> u16 {
    ask(auth, domain, address, "NULL", &[]).0
}

pub(crate) fn plain(auth: &Authenticator, domain: &str, user: &str, password: &str) -> u16 {
    ask(auth, domain, "127.0.0.1", "PLAIN", &[user.as_bytes(), password.as_bytes()]).0
}

pub(crate) fn curve(auth: &Authenticator, domain: &str, key: &PublicKey) -> u16 {
    ask(auth, domain, "127.0.0.1", "CURVE", &[key.as_bytes()]).0
}
