//! Directories of certificates.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;
use zmq_auth::{PublicKey, save_certificate};

/// Makes this many `.key` files with different keys.
pub(crate) fn make(files: u32) -> Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let first = path(directory.path(), 0);
    save_certificate(&first, &key(0), None)?;
    let text = fs::read_to_string(first)?;
    for number in 1..files {
        fs::write(path(directory.path(), number), with_key(&text, 0, number))?;
    }
    Ok(directory)
}

/// Changes the key in one of them.
pub(crate) fn change(directory: &Path, number: u32, from: u32, to: u32) -> Result<()> {
    let path = path(directory, number);
    let text = fs::read_to_string(&path)?;
    Ok(fs::write(path, with_key(&text, from, to))?)
}

/// The key of a number. All are different, and their bits are as random as those of real keys.
pub(crate) fn key(number: u32) -> PublicKey {
    let mut bytes = [0; 32];
    for (word, place) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(1_u32..) {
        *word = (number ^ place.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B).to_be_bytes();
    }
    PublicKey::from(bytes)
}

fn with_key(text: &str, from: u32, to: u32) -> String {
    text.replace(&key(from).to_string(), &key(to).to_string())
}

fn path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("client-{number:07}.key"))
}
