//! The secret half of a CURVE key pair.

use std::fmt;
use std::str::FromStr;

use constant_time_eq::constant_time_eq_n;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::z85;
use crate::error::{Error, KeyProblem, Result};

/// The secret half of a CURVE key pair: 32 bytes that are wiped when dropped, never printed, and compared in constant
/// time.
///
/// It has no `Display`; to show or store a key on purpose, use [`to_z85`](Self::to_z85).
///
/// ```
/// use zmq_auth::SecretKey;
///
/// let key: SecretKey = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6".parse()?;
/// assert_eq!(*key.to_z85(), "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6");
/// assert_eq!(format!("{key:?}"), "SecretKey(…)");
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Clone)]
// Boxed, so that a move doesn't leave a copy of the key behind.
pub struct SecretKey(Box<Zeroizing<[u8; 32]>>);

impl SecretKey {
    /// The key's 32 bytes, as `zmq::Socket::set_curve_secretkey` takes them.
    ///
    /// ```
    /// # use zmq_auth::SecretKey;
    /// assert_eq!(SecretKey::from([7; 32]).as_bytes(), &[7; 32]);
    /// ```
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as 40 characters of Z85 (RFC 32), in a string that is wiped when dropped.
    ///
    /// ```
    /// # use zmq_auth::SecretKey;
    /// assert_eq!(*SecretKey::from([0; 32]).to_z85(), "0".repeat(40));
    /// ```
    pub fn to_z85(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new([0; z85::ENCODED]);
        self.write_z85(&mut text);
        // Allocated in full: a string that grows leaves its old buffer behind, unwiped.
        let mut string = Zeroizing::new(String::with_capacity(z85::ENCODED));
        string.extend(text.iter().copied().map(char::from));
        string
    }

    pub(crate) fn from_z85(text: &[u8]) -> Result<Self, KeyProblem> {
        let mut key = Self::blank();
        z85::decode(text, &mut key.0)?;
        Ok(key)
    }

    pub(crate) fn write_z85(&self, text: &mut [u8; z85::ENCODED]) {
        z85::encode(&self.0, text);
    }

    fn blank() -> Self {
        SecretKey(Box::new(Zeroizing::new([0; 32])))
    }
}

/// Doesn't wipe the caller's array: do so yourself.
impl From<[u8; 32]> for SecretKey {
    fn from(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let mut key = Self::blank();
        key.0.copy_from_slice(&*bytes);
        key
    }
}

/// Accepts exactly 40 characters of Z85, without surrounding text; anything else is [`Error::Key`], which doesn't quote it.
impl FromStr for SecretKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        SecretKey::from_z85(text.as_bytes()).map_err(Error::Key)
    }
}

impl PartialEq for SecretKey {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq_n(self.as_bytes(), other.as_bytes())
    }
}

impl Eq for SecretKey {}

impl ZeroizeOnDrop for SecretKey {}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_only_where_every_byte_is() {
        let key = SecretKey::from([5; 32]);
        assert_eq!(key, key.clone());
        for place in 0..32 {
            let mut bytes = [5; 32];
            bytes[place] ^= 1;
            assert_ne!(key, SecretKey::from(bytes), "byte {place}");
        }
    }

    #[test]
    fn the_text_never_outgrows_its_buffer() {
        let text = SecretKey::from([0xFF; 32]).to_z85();
        assert_eq!((text.len(), text.capacity()), (40, 40));
    }

    #[test]
    fn errors_do_not_quote_what_they_refuse() {
        let text = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh\"";
        let error = text.parse::<SecretKey>().unwrap_err();
        assert!(matches!(error, Error::Key(_)));
        assert!(!format!("{error}{error:?}").contains("JTKV"));
    }

    #[test]
    fn debug_is_redacted_in_every_form() {
        let key = SecretKey::from([b'S'; 32]);
        assert_eq!(format!("{key:?}|{key:#?}"), "SecretKey(…)|SecretKey(…)");
    }
}
