//! Reading of certificate files.

use std::fs::{File, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::parse::parse;
use super::{Certificate, MAX_FILE};
use crate::error::{Error, Result};
use crate::keys::KeyPair;
use crate::regular_file;

/// Loads a file, and warns of what is wrong with its mode or its pair.
pub(super) fn load(path: &Path) -> Result<Certificate> {
    Reader::default().load(path, false).1
}

/// Loads one file after the other into one buffer, which is wiped in the end and never grows: growing would leave parts of
/// a secret behind.
pub(crate) struct Reader(Zeroizing<Vec<u8>>);

impl Default for Reader {
    fn default() -> Self {
        Reader(Zeroizing::new(vec![0; MAX_FILE + 1]))
    }
}

impl Reader {
    /// Loads a file; beside it, what the file was like just before its content was read. `is_file` tells that it was a
    /// regular file a moment ago.
    pub(crate) fn load(&mut self, path: &Path, is_file: bool) -> (Option<Metadata>, Result<Certificate>) {
        let (file, metadata) = match open(path, is_file) {
            Ok(opened) => opened,
            Err(error) => return (None, Err(error)),
        };
        let certificate = self.read(file, path, &metadata);
        (Some(metadata), certificate)
    }

    fn read(&mut self, file: File, path: &Path, metadata: &Metadata) -> Result<Certificate> {
        let length = regular_file::fill(file, &mut self.0, metadata.len()).map_err(|source| Error::Io {
            path: path.to_owned(),
            action: "read",
            source,
        })?;
        if length > MAX_FILE {
            return Err(refused(path, "is larger than 64 KiB: no certificate is"));
        }
        let certificate = parse(&self.0[..length]).map_err(|fault| fault.in_file(path))?;
        if let Some(pair) = certificate.key_pair() {
            warn(path, metadata.permissions().mode(), pair);
        }
        Ok(certificate)
    }
}

fn open(path: &Path, is_file: bool) -> Result<(File, Metadata)> {
    regular_file::open(path, is_file)
        .map_err(|source| Error::Io { path: path.to_owned(), action: "open", source })?
        .ok_or_else(|| refused(path, "is not a regular file"))
}

fn warn(path: &Path, mode: u32, pair: &KeyPair) {
    if mode & 0o077 != 0 {
        log_warn!(
            "{path:?} holds a secret key, and others than its owner have access (mode {:03o}): chmod 600",
            mode & 0o777
        );
    }
    if matches!(pair.check(), Err(Error::KeyMismatch)) {
        log_warn!("{path:?}: the public and the secret key are not a pair; no handshake will succeed with them");
    }
}

fn refused(path: &Path, problem: &'static str) -> Error {
    Error::Certificate { path: path.to_owned(), line: None, problem }
}
