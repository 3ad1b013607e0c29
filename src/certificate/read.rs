//! From a path to a certificate.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::parse::parse;
use super::{Certificate, MAX_FILE};
use crate::error::{Error, Result};

/// Loads a file, and warns of what is wrong with its mode or its pair.
pub(super) fn load(path: &Path) -> Result<Certificate> {
    let (bytes, mode) = read(path)?;
    let certificate = parse(&bytes).map_err(|fault| fault.in_file(path))?;
    if let Some(pair) = certificate.key_pair() {
        if mode & 0o077 != 0 {
            log::warn!(
                target: "zmq_auth",
                "{path:?} holds a secret key, and others than its owner have access (mode {:03o}): chmod 600",
                mode & 0o777
            );
        }
        if matches!(pair.check(), Err(Error::KeyMismatch)) {
            log::warn!(
                target: "zmq_auth",
                "{path:?}: the public and the secret key are not a pair; no handshake will succeed with them"
            );
        }
    }
    Ok(certificate)
}

/// The whole content, which may hold a secret, and the file's mode.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, u32)> {
    let failed = |action| move |source| Error::Io { path: path.to_owned(), action, source };
    let refused = |problem| Error::Certificate { path: path.to_owned(), line: None, problem };

    // Before it is opened: opening a device can have effects.
    if !fs::metadata(path).map_err(failed("open"))?.is_file() {
        return Err(refused(NOT_A_FILE));
    }
    // Should it have become a FIFO since, this doesn't wait for a writer; the second look then sees it.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed("open"))?;
    let metadata = file.metadata().map_err(failed("open"))?;
    if !metadata.is_file() {
        return Err(refused(NOT_A_FILE));
    }
    match read_up_to_cap(file).map_err(failed("read"))? {
        Some(bytes) => Ok((bytes, metadata.permissions().mode())),
        None => Err(refused("is larger than 64 KiB: no certificate is")),
    }
}

const NOT_A_FILE: &str = "is not a regular file";

/// `None` for more than `MAX_FILE` bytes. The buffer never grows: growing would leave parts of a secret behind.
fn read_up_to_cap(mut file: File) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut bytes = Zeroizing::new(vec![0; MAX_FILE + 1]);
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) => {
                bytes.truncate(length);
                return Ok(Some(bytes));
            }
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
