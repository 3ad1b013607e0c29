//! Every certificate of a directory.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::read;
use crate::error::{Error, Result};
use crate::keys::PublicKey;
use crate::metadata::Metadata;

/// Loads the public keys of every `*.key` in a directory: not of hidden files, not of directories below.
///
/// Two files with one key are one key. An empty directory gives an empty set.
///
/// # Errors
/// [`Error::Io`] if the directory can't be listed. One file that [`Certificate::load`](crate::Certificate::load) refuses
/// fails the whole call with the error that names it; of several, the first in the order of their names.
///
/// ```
/// # use zmq_auth::{create_certificates, load_certificates};
/// # let dir = tempfile::tempdir()?;
/// create_certificates(&dir, "alice")?;
/// create_certificates(&dir, "bob")?;
/// assert_eq!(load_certificates(&dir)?.len(), 2);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn load_certificates(dir: impl AsRef<Path>) -> Result<HashSet<PublicKey>> {
    Ok(load_directory(dir.as_ref())?.into_iter().map(|(_, public, _)| public).collect())
}

/// As [`load_certificates`], one entry for each file in the order of their names, with what the file says of its key.
pub(crate) fn load_directory(dir: &Path) -> Result<Vec<(PathBuf, PublicKey, Metadata)>> {
    let failed = |source| Error::Io { path: dir.to_owned(), action: "list", source };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let bytes = name.as_encoded_bytes();
        if bytes.ends_with(b".key") && !bytes.starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let file = dir.join(name);
            let certificate = read::load(&file)?;
            Ok((file, certificate.public_key(), certificate.metadata))
        })
        .collect()
}
