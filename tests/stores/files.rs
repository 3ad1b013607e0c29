//! A key directory with files in it, and an authenticator that follows it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::RwLock;

use tempfile::TempDir;
use zmq_auth::{Authenticator, Event, Events, KeyDirectory, PublicKey, ReloadSummary};

use crate::harness::{domain, wait_until, zap};

/// Held for reading by tests that decide so often that the log drops older records; for writing by tests that count records.
pub(crate) static LOG: RwLock<()> = RwLock::new(());

/// A directory, the store that reads it, and an authenticator that uses it.
pub(crate) struct Store {
    pub(crate) dir: TempDir,
    pub(crate) keys: KeyDirectory,
    pub(crate) auth: Authenticator,
    pub(crate) domain: String,
}

impl Store {
    /// Opens the directory after `fill` has written files.
    pub(crate) fn of(fill: impl FnOnce(&Path)) -> Self {
        let (dir, domain) = (tempfile::tempdir().unwrap(), domain("store"));
        fill(dir.path());
        let (keys, auth) = (KeyDirectory::open(&dir).unwrap(), Authenticator::new());
        auth.configure_curve_store(&domain, &keys).unwrap();
        Store { dir, keys, auth, domain }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn accepts(&self, key: &PublicKey) -> bool {
        zap::curve(&self.auth, &self.domain, key) == 200
    }

    /// The metadata of the reply to an accepted client.
    pub(crate) fn metadata(&self, key: &PublicKey) -> Vec<u8> {
        let request = zap::request(&self.domain, "127.0.0.1", "CURVE", &[key.as_bytes()]);
        let reply = self.auth.handle_zap_message(&request).unwrap();
        assert_eq!(zap::status_of(&reply), 200);
        reply[5].clone()
    }

    /// Added, changed, removed.
    pub(crate) fn reload(&self) -> (usize, usize, usize) {
        let ReloadSummary { added, changed, removed, .. } = self.keys.reload().unwrap();
        (added, changed, removed)
    }

    /// Waits until all files are old enough for their stat to be reliable.
    pub(crate) fn settle(&self) {
        wait_until("all files are old", || self.keys.reload().unwrap().read == 0);
    }
}

/// The events so far.
pub(crate) fn all(events: &Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

/// A key that differs for each number.
pub(crate) fn key(number: u32) -> PublicKey {
    let mut bytes = [0x5A; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

/// A public certificate.
pub(crate) fn certificate(key: &PublicKey, metadata: &[(&str, &str)]) -> String {
    let lines: String = metadata.iter().map(|(name, value)| format!("    {name} = \"{value}\"\n")).collect();
    format!("metadata\n{lines}curve\n    public-key = \"{key}\"\n")
}

/// Writes a file in place.
pub(crate) fn write(file: &Path, key: &PublicKey) {
    fs::write(file, certificate(key, &[])).unwrap();
}

/// Writes a temporary file and renames it.
pub(crate) fn replace(file: &Path, content: &str) {
    let new = file.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, file).unwrap();
}
