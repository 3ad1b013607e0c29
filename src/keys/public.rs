//! The public half of a CURVE key pair.

use std::fmt;
use std::str::{self, FromStr};

use super::z85;
use crate::error::{Error, KeyProblem, Result};

/// The public half of a CURVE key pair: 32 bytes, written as 40 characters of Z85 (RFC 32).
///
/// ```
/// use zmq_auth::PublicKey;
///
/// let key: PublicKey = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID".parse()?;
/// assert_eq!(key.as_bytes().len(), 32);
/// assert_eq!(key.to_string(), "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID");
/// assert!("no key".parse::<PublicKey>().is_err());
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key's 32 bytes, as `zmq::Socket::set_curve_serverkey` takes them and a ZAP request carries them.
    ///
    /// ```
    /// # use zmq_auth::PublicKey;
    /// assert_eq!(PublicKey::from([7; 32]).as_bytes(), &[7; 32]);
    /// ```
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn from_z85(text: &[u8]) -> Result<Self, KeyProblem> {
        let mut bytes = [0; 32];
        z85::decode(text, &mut bytes)?;
        Ok(PublicKey(bytes))
    }

    pub(crate) fn to_z85(self) -> [u8; z85::ENCODED] {
        let mut text = [0; z85::ENCODED];
        z85::encode(&self.0, &mut text);
        text
    }
}

impl From<[u8; 32]> for PublicKey {
    fn from(bytes: [u8; 32]) -> Self {
        PublicKey(bytes)
    }
}

/// Accepts exactly 32 bytes; anything else is [`Error::Key`].
impl TryFrom<&[u8]> for PublicKey {
    type Error = Error;

    fn try_from(bytes: &[u8]) -> Result<Self> {
        let problem = KeyProblem::with_length("the key doesn't have 32 bytes", bytes.len());
        let bytes = bytes.try_into().map_err(|_| Error::Key(problem))?;
        Ok(PublicKey(bytes))
    }
}

/// Accepts exactly 40 characters of Z85, without surrounding text; anything else is [`Error::Key`].
impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        PublicKey::from_z85(text.as_bytes()).map_err(Error::Key)
    }
}

/// The 40 characters of Z85.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(str::from_utf8(&self.to_z85()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_bytes_make_a_key() {
        for length in (0..70).filter(|&length| length != 32) {
            assert!(matches!(PublicKey::try_from(&vec![1; length][..]), Err(Error::Key(_))));
        }
        assert_eq!(PublicKey::try_from(&[1; 32][..]).unwrap(), PublicKey::from([1; 32]));
    }

    #[test]
    fn display_and_debug_are_z85() {
        let key = PublicKey::from([0; 32]);
        assert_eq!(key.to_string(), "0".repeat(40));
        assert_eq!(format!("{key:?}"), format!("PublicKey({key})"));
        assert_eq!(format!("{key:>42}").len(), 42);
    }
}
