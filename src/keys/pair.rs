//! CURVE key pairs, and the libzmq calls that generate and derive them.

use std::ffi::CStr;

use zeroize::{Zeroize, Zeroizing};

use super::{PublicKey, SecretKey, z85};
use crate::error::{Error, Result};
use crate::ffi::{self, Errno};

/// A CURVE key pair.
///
/// The fields are public, so that a pair can be assembled from stored halves; [`check`](Self::check) then tells whether
/// they belong together.
///
/// ```
/// use zmq_auth::KeyPair;
///
/// let pair = KeyPair::generate()?;
/// assert_eq!(KeyPair::from_secret(pair.secret.clone())?, pair);
/// println!("{pair:?}"); // the public key; the secret one is never shown
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The public key.
    pub public: PublicKey,
    /// The secret key.
    pub secret: SecretKey,
}

impl KeyPair {
    /// Generates a new pair from the system's randomness.
    ///
    /// # Errors
    /// [`Error::CurveUnavailable`] if libzmq has no CURVE.
    ///
    /// ```
    /// # use zmq_auth::KeyPair;
    /// assert_ne!(KeyPair::generate()?, KeyPair::generate()?);
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn generate() -> Result<Self> {
        require_curve()?;
        let (public, secret) = ffi::curve_keypair().map_err(|source| failed("make a CURVE key pair", source))?;
        Ok(KeyPair {
            public: PublicKey::from_z85(&public[..z85::ENCODED]).map_err(Error::Key)?,
            secret: SecretKey::from_z85(&secret[..z85::ENCODED]).map_err(Error::Key)?,
        })
    }

    /// Computes the public key of a secret key, and returns the pair.
    ///
    /// # Errors
    /// [`Error::CurveUnavailable`] if libzmq has no CURVE.
    ///
    /// ```
    /// # use zmq_auth::{KeyPair, curve_public};
    /// let secret = KeyPair::generate()?.secret;
    /// assert_eq!(KeyPair::from_secret(secret.clone())?.public, curve_public(&secret)?);
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn from_secret(secret: SecretKey) -> Result<Self> {
        Ok(KeyPair { public: curve_public(&secret)?, secret })
    }

    /// Checks that the halves belong together. If they don't, no libzmq call fails, but every handshake does.
    ///
    /// # Errors
    /// [`Error::KeyMismatch`] if they don't; [`Error::CurveUnavailable`] if libzmq has no CURVE.
    ///
    /// ```
    /// # use zmq_auth::{Error, KeyPair};
    /// let (a, b) = (KeyPair::generate()?, KeyPair::generate()?);
    /// assert!(a.check().is_ok());
    /// let mixed = KeyPair { public: a.public, secret: b.secret };
    /// assert!(matches!(mixed.check(), Err(Error::KeyMismatch)));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn check(&self) -> Result<()> {
        if curve_public(&self.secret)? == self.public { Ok(()) } else { Err(Error::KeyMismatch) }
    }
}

/// Wipes the secret that it converts. (`zmq::CurveKeyPair` doesn't, and its `Debug` prints it.)
impl From<zmq::CurveKeyPair> for KeyPair {
    fn from(mut pair: zmq::CurveKeyPair) -> Self {
        let taken = KeyPair { public: pair.public_key.into(), secret: pair.secret_key.into() };
        pair.secret_key.zeroize();
        taken
    }
}

/// Generates a new key pair, as [`KeyPair::generate`].
///
/// # Errors
/// [`Error::CurveUnavailable`] if libzmq has no CURVE.
///
/// ```
/// let pair = zmq_auth::curve_keypair()?;
/// assert!(pair.check().is_ok());
/// # Ok::<(), zmq_auth::Error>(())
/// ```
pub fn curve_keypair() -> Result<KeyPair> {
    KeyPair::generate()
}

/// Computes the public key of a secret key.
///
/// # Errors
/// [`Error::CurveUnavailable`] if libzmq has no CURVE.
///
/// ```
/// // The server's keys in the CURVE test of libzmq's manual.
/// let secret = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6".parse()?;
/// let public = zmq_auth::curve_public(&secret)?;
/// assert_eq!(public.to_string(), "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7");
/// # Ok::<(), zmq_auth::Error>(())
/// ```
pub fn curve_public(secret: &SecretKey) -> Result<PublicKey> {
    require_curve()?;
    let mut text = Zeroizing::new([0; z85::ENCODED + 1]);
    if let Some(characters) = text.first_chunk_mut() {
        secret.write_z85(characters);
    }
    // Z85 contains no NUL, so the only one is at the end.
    let text = CStr::from_bytes_with_nul(&*text).map_err(|_| Error::Key(z85::BAD_CHARACTER))?;
    let public = ffi::curve_public(text).map_err(|source| failed("compute a CURVE public key", source))?;
    PublicKey::from_z85(&public[..z85::ENCODED]).map_err(Error::Key)
}

/// Whether the libzmq in use has CURVE. If not, every CURVE call returns [`Error::CurveUnavailable`].
///
/// ```
/// if !zmq_auth::curve_available() {
///     eprintln!("{}", zmq_auth::curve_keypair().unwrap_err()); // says what to do about it
/// }
/// ```
pub fn curve_available() -> bool {
    zmq::has("curve") == Some(true)
}

/// The check that begins every CURVE call.
pub(crate) fn require_curve() -> Result<()> {
    if curve_available() {
        return Ok(());
    }
    let (major, minor, patch) = zmq::version();
    Err(Error::CurveUnavailable { major, minor, patch })
}

fn failed(action: &'static str, source: Errno) -> Error {
    Error::Zmq { action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_of_a_conversion_is_taken_as_it_is() {
        let pair = KeyPair::from(zmq::CurveKeyPair { public_key: [1; 32], secret_key: [2; 32] });
        assert_eq!(pair, KeyPair { public: [1; 32].into(), secret: [2; 32].into() });
    }

    #[test]
    fn debug_shows_the_public_key_alone() {
        let pair = KeyPair { public: [0; 32].into(), secret: [b'S'; 32].into() };
        let shown = format!("{pair:?}");
        assert!(shown.contains(&"0".repeat(40)), "{shown}");
        assert!(!shown.contains(pair.secret.to_z85().as_str()) && !shown.contains("83, 83"), "{shown}");
    }

    #[test]
    fn without_curve_the_error_names_the_version() {
        if let Err(error) = require_curve() {
            let (a, b, c) = zmq::version();
            assert!(
                matches!(error, Error::CurveUnavailable { major, minor, patch } if (major, minor, patch) == (a, b, c))
            );
            assert!(matches!(KeyPair::generate(), Err(Error::CurveUnavailable { .. })));
            assert!(matches!(curve_public(&[1; 32].into()), Err(Error::CurveUnavailable { .. })));
        } else {
            assert!(KeyPair::generate().is_ok());
        }
    }
}
