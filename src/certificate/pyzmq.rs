//! The calls of pyzmq's `zmq.auth`, by their names.

use std::path::{Path, PathBuf};

use super::create;
use super::target::Target;
use super::{Certificate, Keys, bytes, check_pair, read};
use crate::error::Result;
use crate::keys::{KeyPair, PublicKey, SecretKey};
use crate::metadata::Metadata;

/// Makes a new key pair and writes `NAME.key` and `NAME.key_secret` into a directory; answers their paths in this order.
///
/// [`Certificate::save_pair`] says how they are written; for metadata, use it with [`Certificate::with_metadata`].
///
/// # Errors
/// [`Error::CurveUnavailable`](crate::Error::CurveUnavailable) where libzmq has no CURVE, and those of
/// [`Certificate::save_pair`].
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let (public, secret) = zmq_auth::create_certificates(&dir, "server")?;
/// assert!(public.ends_with("server.key") && secret.ends_with("server.key_secret"));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn create_certificates(dir: impl AsRef<Path>, name: &str) -> Result<(PathBuf, PathBuf)> {
    Certificate::generate()?.save_pair(dir, name)
}

/// Loads the keys of a certificate file; those of a public file come without a secret one.
///
/// # Errors
/// Those of [`Certificate::load`], which also reads the metadata.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let (public, secret) = zmq_auth::create_certificates(&dir, "server")?;
/// assert!(zmq_auth::load_certificate(public)?.1.is_none());
/// assert!(zmq_auth::load_certificate(secret)?.1.is_some());
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn load_certificate(file: impl AsRef<Path>) -> Result<(PublicKey, Option<SecretKey>)> {
    Ok(match read::load(file.as_ref())?.keys {
        Keys::Public(public) => (public, None),
        Keys::Pair(KeyPair { public, secret }) => (public, Some(secret)),
    })
}

/// Writes one certificate file without metadata: a secret file, of mode 0600, where a secret key is given; else a public
/// one, whose mode is what the umask leaves of 0666. The file is there whole or not at all.
///
/// # Errors
/// [`Error::Exists`](crate::Error::Exists) if the file is there (a symbolic link counts),
/// [`Error::KeyMismatch`](crate::Error::KeyMismatch) for keys that don't belong together,
/// [`Error::Io`](crate::Error::Io).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let pair = zmq_auth::curve_keypair()?;
/// let file = dir.path().join("client.key_secret");
/// zmq_auth::save_certificate(&file, &pair.public, Some(&pair.secret))?;
/// assert_eq!(zmq_auth::load_certificate(&file)?, (pair.public, Some(pair.secret)));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn save_certificate(file: impl AsRef<Path>, public: &PublicKey, secret: Option<&SecretKey>) -> Result<()> {
    let (file, metadata) = (file.as_ref(), Metadata::default());
    match secret {
        Some(secret) => {
            let pair = KeyPair { public: *public, secret: secret.clone() };
            check_pair(&pair)?;
            create::create(&Target::secret(file), &bytes::secret(&bytes::now(), &pair, &metadata)?)
        }
        None => create::create(&Target::public(file), &bytes::public(&bytes::now(), *public, &metadata)?),
    }
}
