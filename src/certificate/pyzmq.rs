//! The certificate functions of pyzmq's `zmq.auth`, under the same names.

use std::path::{Path, PathBuf};

use super::write::{self, Target};
use super::{Certificate, CertificateKeys, check_pair, format, read};
use crate::error::{Error, Result};
use crate::keys::{KeyPair, PublicKey, SecretKey};
use crate::metadata::Metadata;

/// Creates a new key pair and writes `NAME.key` and `NAME.key_secret` into a directory; returns their paths in this order.
///
/// [`Certificate::save_pair`] says how they are written. For metadata, use it with [`Certificate::with_metadata`].
///
/// # Errors
/// [`Error::CurveUnavailable`] if libzmq has no CURVE, and those of [`Certificate::save_pair`].
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

/// Loads the keys of a certificate file; `None` for the secret key of a public file.
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
        CertificateKeys::Public(public) => (public, None),
        CertificateKeys::Pair(KeyPair { public, secret }) => (public, Some(secret)),
    })
}

/// Writes one certificate file without metadata: with a secret key, a secret file of mode 0600; otherwise a public file of
/// mode 0644 minus the umask. The file appears completely or not at all.
///
/// # Errors
/// [`Error::Exists`] if the file exists (a symbolic link counts),
/// [`Error::KeyMismatch`] for keys that don't belong together,
/// [`Error::Io`].
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
            write::create(&Target::secret(file), format::secret(&format::now(), &pair, &metadata)?.as_bytes())
        }
        None => write::create(&Target::public(file), format::public(&format::now(), *public, &metadata)?.as_bytes()),
    }
}

impl PublicKey {
    /// Loads the public key from a public or secret certificate file: for a client, the server's.
    ///
    /// # Errors
    /// Those of [`load_certificate`].
    ///
    /// ```
    /// # use zmq_auth::{KeyPair, PublicKey, create_certificates};
    /// # let dir = tempfile::tempdir()?;
    /// let (public_file, secret_file) = create_certificates(&dir, "server")?;
    /// assert_eq!(PublicKey::load(public_file)?, KeyPair::load(secret_file)?.public);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn load(file: impl AsRef<Path>) -> Result<Self> {
        Ok(load_certificate(file)?.0)
    }
}

impl KeyPair {
    /// Loads both halves from a secret certificate file, such as `NAME.key_secret`.
    ///
    /// # Errors
    /// Those of [`load_certificate`]; [`Error::Certificate`] for a file without a secret key.
    ///
    /// ```
    /// # use zmq_auth::{KeyPair, create_certificates};
    /// # let dir = tempfile::tempdir()?;
    /// let (public_file, secret_file) = create_certificates(&dir, "server")?;
    /// assert!(KeyPair::load(secret_file)?.check().is_ok());
    /// assert!(KeyPair::load(public_file).is_err());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn load(file: impl AsRef<Path>) -> Result<Self> {
        let file = file.as_ref();
        match load_certificate(file)? {
            (public, Some(secret)) => Ok(KeyPair { public, secret }),
            (_, None) => {
                let problem = "has no secret-key line: use the file NAME.key_secret";
                Err(Error::Certificate { path: file.to_owned(), line: None, problem })
            }
        }
    }
}
