//! CURVE certificate files: pyzmq's format byte for byte, and a reader that also accepts czmq's.
//!
//! `format` and `write` create files, `read` and `parse` load them. No error quotes a file's content.

mod format;
mod info;
mod parse;
mod pyzmq;
mod read;
mod round_trip;
mod validity;
mod write;

use std::path::{Path, PathBuf};

pub(crate) use info::KeyInfo;
pub use pyzmq::{create_certificates, load_certificate, save_certificate};
pub(crate) use read::{Concerns, Ending, Reader};

use crate::error::{Error, Result};
use crate::keys::{KeyPair, PublicKey, curve_available};
use crate::metadata::Metadata;
use write::Target;
use zeroize::Zeroizing;

/// The maximum size of a certificate file, for reading and writing: 64 KiB.
const MAX_FILE: usize = 64 * 1024;

/// A CURVE certificate: a key pair or a public key, with metadata about its owner.
///
/// Two certificates are equal if their keys and metadata, including its order, are.
///
/// ```
/// use zmq_auth::Certificate;
///
/// let dir = tempfile::tempdir()?;
/// let certificate = Certificate::generate()?.with_metadata("name", "Alice")?;
/// let (public, secret) = certificate.save_pair(&dir, "alice")?; // alice.key, alice.key_secret
///
/// assert_eq!(Certificate::load(&secret)?, certificate);
/// assert_eq!(Certificate::load(&public)?.public_key(), certificate.public_key());
/// assert!(Certificate::load(&public)?.key_pair().is_none());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    keys: CertificateKeys,
    metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum CertificateKeys {
    Public(PublicKey),
    Pair(KeyPair),
}

impl Certificate {
    /// Creates a certificate with a new key pair and no metadata.
    ///
    /// # Errors
    /// [`Error::CurveUnavailable`] if libzmq has no CURVE.
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// assert!(Certificate::generate()?.key_pair().is_some());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn generate() -> Result<Self> {
        Ok(KeyPair::generate()?.into())
    }

    /// Loads a file that pyzmq, czmq or this crate wrote: `NAME.key`, `NAME.key_secret`, or czmq's `NAME` and
    /// `NAME_secret`.
    ///
    /// A file that users other than its owner can write, a secret file that they can read, and a file whose keys don't belong
    /// together are loaded with a warning in the log (target `zmq_auth`).
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be opened or read. [`Error::Certificate`], with the line, if it isn't a regular file,
    /// is larger than 64 KiB, or has no public key, a key that isn't Z85 (RFC 32), two different keys of one kind, or
    /// metadata that isn't UTF-8. Also for a line whose name differs from `not-before`, `not-after`, `public-key` or
    /// `secret-key` only in case or signs (`Not-After`, `not_after`), and for a validity time outside the metadata: if such a
    /// line were ignored, the client that it should exclude would be accepted.
    ///
    /// ```
    /// # use zmq_auth::{Certificate, Error};
    /// # let dir = tempfile::tempdir()?;
    /// let file = dir.path().join("short.key");
    /// std::fs::write(&file, "curve\n    public-key = \"short\"\n")?;
    /// assert!(matches!(Certificate::load(&file), Err(Error::Certificate { line: Some(2), .. })));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn load(file: impl AsRef<Path>) -> Result<Self> {
        read::load(file.as_ref())
    }

    /// Parses the content of a file, as [`load`](Self::load) does, from any other place: standard input, a database. Errors
    /// call it `name`.
    ///
    /// # Errors
    /// [`Error::Certificate`], as [`load`](Self::load).
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// let certificate = Certificate::generate()?.with_metadata("name", "Alice")?;
    /// let text = certificate.secret_text()?;
    /// assert_eq!(Certificate::parse(text.as_bytes(), "from the database")?, certificate);
    /// assert!(Certificate::parse(b"", "nothing").is_err());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn parse(content: &[u8], name: impl AsRef<Path>) -> Result<Self> {
        read::parse_content(content, name.as_ref())
    }

    /// Every problem of a file, in the order of its lines; empty for a file that [`load`](Self::load) accepts. The first is
    /// the error that `load` returns.
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// # let dir = tempfile::tempdir()?;
    /// let file = dir.path().join("alice.key");
    /// std::fs::write(&file, "metadata\n    Not-After = 2027\ncurve\n    public-key = \"short\"\n")?;
    /// let problems = Certificate::problems(&file);
    /// assert!(problems[0].to_string().contains("alice.key:2: nearly a not-before or not-after line"));
    /// assert!(problems[1].to_string().contains("alice.key:4: "));
    /// assert_eq!(problems.len(), 2);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn problems(file: impl AsRef<Path>) -> Vec<Error> {
        read::problems(file.as_ref())
    }

    /// Sets a metadata value; an existing name gets the new value and keeps its position.
    ///
    /// Whatever is accepted is read back equal from both files by this crate, czmq and JeroMQ (pyzmq reads no metadata). A
    /// name that libzmq reserves (see [`Metadata::insert`]) is stored, but a server that loads the file never
    /// sends it.
    ///
    /// # Errors
    /// [`Error::Metadata`] for
    /// - a name with anything but ASCII letters, digits and `$-_@.&+/`, with a digit at the start or a `/` at either end, that
    ///   starts with `public-key` or `secret-key`, or that is nearly one of these or `not-before` or `not-after`,
    /// - a value with quotes of both kinds that also has a `#` or starts with a quote, with line breaks or other control
    ///   characters, or with blanks at either end,
    /// - a line of more than 1,024 bytes, more than 64 KiB in all, and what [`Metadata::insert`] refuses for its size.
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// let certificate = Certificate::generate()?.with_metadata("motto", "say \"friend\" # and enter")?;
    /// assert_eq!(certificate.metadata().get("motto"), Some("say \"friend\" # and enter"));
    /// assert!(certificate.with_metadata("motto", "two\nlines").is_err());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn with_metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Result<Self> {
        let (name, value) = (name.into(), value.into());
        round_trip::check(&name, &value, round_trip::AS_PYZMQ)?;
        self.metadata.insert_unreserved(name.clone(), value)?;
        round_trip::check_size(&name, &self.metadata)?;
        Ok(self)
    }

    /// Removes a metadata name, if it exists.
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// let certificate = Certificate::generate()?.with_metadata("name", "Alice")?;
    /// assert!(certificate.without_metadata("name").metadata().is_empty());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[must_use]
    pub fn without_metadata(mut self, name: &str) -> Self {
        self.metadata.remove(name);
        self
    }

    /// Both keys; `None` for a certificate with only the public key.
    ///
    /// ```
    /// # use zmq_auth::{Certificate, PublicKey};
    /// assert!(Certificate::from(PublicKey::from([1; 32])).key_pair().is_none());
    /// ```
    pub fn key_pair(&self) -> Option<&KeyPair> {
        match &self.keys {
            CertificateKeys::Public(_) => None,
            CertificateKeys::Pair(pair) => Some(pair),
        }
    }

    /// The public key.
    ///
    /// ```
    /// # use zmq_auth::{Certificate, PublicKey};
    /// let key = PublicKey::from([1; 32]);
    /// assert_eq!(Certificate::from(key).public_key(), key);
    /// ```
    pub fn public_key(&self) -> PublicKey {
        match &self.keys {
            CertificateKeys::Public(public) => *public,
            CertificateKeys::Pair(pair) => pair.public,
        }
    }

    /// The metadata, in the order in which it was set or appears in the file.
    ///
    /// ```
    /// # use zmq_auth::{Certificate, PublicKey};
    /// assert!(Certificate::from(PublicKey::from([1; 32])).metadata().is_empty());
    /// ```
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Writes `NAME.key` and `NAME.key_secret` into a directory, as pyzmq does, and returns their paths in this order.
    ///
    /// The metadata goes only to the secret file, which has mode 0600 from creation. The public file has mode 0644 minus the
    /// umask, because a server under another account must be able to read it. Each file appears completely or not at all,
    /// the secret one first; if one can't be written, neither remains.
    ///
    /// # Errors
    /// [`Error::Exists`] if either file exists (a symbolic link counts); [`Error::CertificateName`] for a name that is empty,
    /// starts with a dot, or has a separator or control character; [`Error::Certificate`] without a secret key;
    /// [`Error::KeyMismatch`]; [`Error::Metadata`] for loaded metadata that [`with_metadata`](Self::with_metadata) would
    /// refuse; [`Error::Io`].
    ///
    /// ```
    /// # use zmq_auth::{Certificate, Error};
    /// # let dir = tempfile::tempdir()?;
    /// let certificate = Certificate::generate()?;
    /// certificate.save_pair(&dir, "server")?;
    /// assert!(matches!(certificate.save_pair(&dir, "server"), Err(Error::Exists { .. })));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn save_pair(&self, dir: impl AsRef<Path>, name: &str) -> Result<(PathBuf, PathBuf)> {
        self.write_pair(dir.as_ref(), name, &Metadata::default(), write::create_pair)
    }

    /// As [`save_pair`](Self::save_pair), but replaces existing files. A concurrent reader sees the complete old file or the
    /// complete new one; a symbolic link is replaced, not followed.
    ///
    /// If the public file can't be replaced, the secret one is restored. A crash between the two leaves a new secret file
    /// and an old public one. The secret file has both keys, so [`save_public`](Self::save_public) can repair that.
    ///
    /// # Errors
    /// Those of [`save_pair`](Self::save_pair), except [`Error::Exists`].
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// # let dir = tempfile::tempdir()?;
    /// Certificate::generate()?.save_pair(&dir, "server")?;
    /// let renewed = Certificate::generate()?;
    /// let (_, secret) = renewed.replace_pair(&dir, "server")?;
    /// assert_eq!(Certificate::load(secret)?, renewed);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn replace_pair(&self, dir: impl AsRef<Path>, name: &str) -> Result<(PathBuf, PathBuf)> {
        self.write_pair(dir.as_ref(), name, &Metadata::default(), write::replace_pair)
    }

    /// As [`save_pair`](Self::save_pair), but the public file has the metadata too, as with
    /// [`save_public`](Self::save_public).
    ///
    /// # Errors
    /// Those of [`save_pair`](Self::save_pair).
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// # let dir = tempfile::tempdir()?;
    /// let certificate = Certificate::generate()?.with_metadata("name", "Alice")?;
    /// let (public, secret) = certificate.save_full_pair(&dir, "alice")?;
    /// assert_eq!(Certificate::load(public)?.metadata(), certificate.metadata());
    /// assert_eq!(Certificate::load(secret)?, certificate);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn save_full_pair(&self, dir: impl AsRef<Path>, name: &str) -> Result<(PathBuf, PathBuf)> {
        self.write_pair(dir.as_ref(), name, &self.metadata, write::create_pair)
    }

    /// As [`replace_pair`](Self::replace_pair), but the public file has the metadata too.
    ///
    /// # Errors
    /// Those of [`replace_pair`](Self::replace_pair).
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// # let dir = tempfile::tempdir()?;
    /// # Certificate::generate()?.save_pair(&dir, "alice")?;
    /// let renewed = Certificate::generate()?.with_metadata("name", "Alice")?;
    /// let (public, _) = renewed.replace_full_pair(&dir, "alice")?;
    /// assert_eq!(Certificate::load(public)?.metadata(), renewed.metadata());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn replace_full_pair(&self, dir: impl AsRef<Path>, name: &str) -> Result<(PathBuf, PathBuf)> {
        self.write_pair(dir.as_ref(), name, &self.metadata, write::replace_pair)
    }

    /// Writes a public file with the metadata, quoted as czmq does, so that a server can act on it.
    ///
    /// Its mode is 0644 minus the umask. It never contains the secret key.
    ///
    /// # Errors
    /// [`Error::Exists`] if the file exists; [`Error::Metadata`] for loaded metadata that
    /// [`with_metadata`](Self::with_metadata) would refuse; [`Error::Io`].
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// # let dir = tempfile::tempdir()?;
    /// let file = dir.path().join("alice.key");
    /// Certificate::generate()?.with_metadata("name", "Alice")?.save_public(&file)?;
    /// assert_eq!(Certificate::load(&file)?.metadata().get("name"), Some("Alice"));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn save_public(&self, file: impl AsRef<Path>) -> Result<()> {
        let bytes = format::public(&format::now(), self.public_key(), &self.metadata)?;
        write::create(&Target::public(file.as_ref()), bytes.as_bytes())
    }

    /// The text that [`save_public`](Self::save_public) writes.
    ///
    /// # Errors
    /// [`Error::Metadata`] for loaded metadata that [`with_metadata`](Self::with_metadata) would refuse.
    ///
    /// ```
    /// # use zmq_auth::{Certificate, PublicKey};
    /// let certificate = Certificate::from(PublicKey::from([1; 32])).with_metadata("name", "Alice")?;
    /// assert!(certificate.public_text()?.contains("    name = \"Alice\"\n"));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn public_text(&self) -> Result<String> {
        Ok(format::public(&format::now(), self.public_key(), &self.metadata)?.as_str().to_owned())
    }

    /// The text that [`save_pair`](Self::save_pair) writes to the secret file.
    ///
    /// # Errors
    /// [`Error::Certificate`] without a secret key; [`Error::KeyMismatch`]; [`Error::Metadata`] for loaded metadata that
    /// [`with_metadata`](Self::with_metadata) would refuse.
    ///
    /// ```
    /// # use zmq_auth::Certificate;
    /// let certificate = Certificate::generate()?;
    /// assert!(certificate.secret_text()?.contains("DO NOT PROVIDE THIS FILE TO OTHER USERS"));
    /// assert!(Certificate::from(certificate.public_key()).secret_text().is_err());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn secret_text(&self) -> Result<Zeroizing<String>> {
        let pair = self.checked_pair(Path::new("a certificate"))?;
        format::secret(&format::now(), pair, &self.metadata)
    }

    fn checked_pair(&self, path: &Path) -> Result<&KeyPair> {
        let CertificateKeys::Pair(pair) = &self.keys else {
            let problem =
                "can't be written: the certificate has no secret key (save_public writes only the public file)";
            return Err(Error::Certificate { path: path.to_owned(), line: None, problem });
        };
        check_pair(pair)?;
        Ok(pair)
    }

    fn write_pair(
        &self,
        dir: &Path,
        name: &str,
        public_metadata: &Metadata,
        write_files: write::WritePair,
    ) -> Result<(PathBuf, PathBuf)> {
        let (public, secret) = write::pair(dir, name)?;
        let pair = self.checked_pair(&secret.path)?;
        let time = format::now();
        let secret_bytes = format::secret(&time, pair, &self.metadata)?;
        let public_bytes = format::public(&time, pair.public, public_metadata)?;
        write_files((&secret, secret_bytes.as_bytes()), (&public, public_bytes.as_bytes()))?;
        Ok((public.path, secret.path))
    }
}

/// A certificate without metadata.
impl From<KeyPair> for Certificate {
    fn from(pair: KeyPair) -> Self {
        Certificate { keys: CertificateKeys::Pair(pair), metadata: Metadata::default() }
    }
}

/// A certificate with only the public key, without metadata.
impl From<PublicKey> for Certificate {
    fn from(public: PublicKey) -> Self {
        Certificate { keys: CertificateKeys::Public(public), metadata: Metadata::default() }
    }
}

/// Refuses to write halves that don't belong together. Without CURVE they can't be checked.
fn check_pair(pair: &KeyPair) -> Result<()> {
    if curve_available() { pair.check() } else { Ok(()) }
}
