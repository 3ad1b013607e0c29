//! Passwords for PLAIN.

use std::fmt;

use constant_time_eq::{constant_time_eq, constant_time_eq_n};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// A password for PLAIN: bytes that are wiped when dropped, never printed, and compared in constant time.
///
/// libzmq carries 1 to 255 bytes; a `Password` holds any number, and the calls that take one refuse what couldn't be sent.
/// Comparing two of up to 255 bytes takes a time that depends neither on where they differ nor on how long they are.
///
/// ```
/// use zmq_auth::Password;
///
/// let password = Password::from("correct horse");
/// assert_eq!(password, Password::from(String::from("correct horse")));
/// assert_ne!(password, Password::from("correct house"));
/// assert_eq!(format!("{password:?}"), "Password(…)");
/// ```
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// The password's bytes.
    ///
    /// ```
    /// # use zmq_auth::Password;
    /// assert_eq!(Password::from("secret").as_bytes(), b"secret");
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Copies; the caller's own text stays as it was.
impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Password::from(text.as_bytes())
    }
}

/// Takes the string over, without a copy.
impl From<String> for Password {
    fn from(text: String) -> Self {
        Password::from(text.into_bytes())
    }
}

/// Takes the string over, without a copy.
impl From<Zeroizing<String>> for Password {
    fn from(mut text: Zeroizing<String>) -> Self {
        Password::from(std::mem::take(&mut *text))
    }
}

/// Copies; the caller's own bytes stay as they were.
impl From<&[u8]> for Password {
    fn from(bytes: &[u8]) -> Self {
        Password(Zeroizing::new(bytes.to_vec()))
    }
}

/// Takes the bytes over, without a copy.
impl From<Vec<u8>> for Password {
    fn from(bytes: Vec<u8>) -> Self {
        Password(Zeroizing::new(bytes))
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        match (PaddedPassword::boxed(&self.0), PaddedPassword::boxed(&other.0)) {
            (Some(own), Some(other)) => own.equals(&other),
            // Nothing that PLAIN can carry: only the lengths are told by the time that this takes.
            _ => constant_time_eq(&self.0, &other.0),
        }
    }
}

impl Eq for Password {}

impl ZeroizeOnDrop for Password {}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The longest password that PLAIN carries (RFC 24): its length is one byte.
const MAX_LENGTH: usize = 255;

/// A password of up to 255 bytes in a block of fixed size: the bytes, zeros, and the length as last byte.
///
/// Comparing whole blocks tells nothing about the length of the password that is stored.
#[derive(Clone)]
pub(crate) struct PaddedPassword(Zeroizing<Block>);

/// 256 bytes.
type Block = [u64; (MAX_LENGTH + 1) / size_of::<u64>()];

impl PaddedPassword {
    /// `None` for more than 255 bytes. On the heap from the start: a move would leave a copy behind.
    pub(crate) fn boxed(bytes: &[u8]) -> Option<Box<Self>> {
        let mut padded = Box::new(Self::decoy());
        padded.fill(bytes).then_some(padded)
    }

    /// The block of the empty password, which libzmq's clients can't send: something to compare with for a user who
    /// isn't there.
    pub(crate) fn decoy() -> Self {
        PaddedPassword(Zeroizing::new(Block::default()))
    }

    /// The password itself.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        let length = usize::from(self.block()[MAX_LENGTH]);
        self.block().get(..length).unwrap_or_default()
    }

    /// Whether the candidate is this password. One of more than 255 bytes never is, and costs the same.
    pub(crate) fn matches(&self, candidate: &[u8]) -> bool {
        let fits = candidate.len() <= MAX_LENGTH;
        let start = &candidate[..candidate.len().min(MAX_LENGTH)];
        let mut padded = Self::decoy();
        // `start` always fits, and is always compared.
        padded.fill(start) & self.equals(&padded) & fits
    }

    /// Fills an empty block; tells whether the bytes fit.
    fn fill(&mut self, bytes: &[u8]) -> bool {
        let Ok(length) = u8::try_from(bytes.len()) else { return false };
        let block: &mut [u8; MAX_LENGTH + 1] = bytemuck::cast_mut(&mut *self.0);
        block[..bytes.len()].copy_from_slice(bytes);
        block[MAX_LENGTH] = length;
        true
    }

    fn block(&self) -> &[u8; MAX_LENGTH + 1] {
        bytemuck::cast_ref(&*self.0)
    }

    fn equals(&self, other: &Self) -> bool {
        constant_time_eq_n::<{ MAX_LENGTH + 1 }>(self.block(), other.block())
    }
}

/// In constant time.
impl PartialEq for PaddedPassword {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other)
    }
}

impl fmt::Debug for PaddedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaddedPassword(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_gives_the_same_password() {
        let password = Password::from("pass");
        assert_eq!(password, Password::from("pass".to_string()));
        assert_eq!(password, Password::from(Zeroizing::new("pass".to_string())));
        assert_eq!(password, Password::from(&b"pass"[..]));
        assert_eq!(password, Password::from(b"pass".to_vec()));
    }

    #[test]
    fn equal_only_where_bytes_and_length_are() {
        let samples: [&[u8]; 9] = [b"", b"\0", b"\0\0", b"a", b"a\0", b"b", &[b'a'; 254], &[b'a'; 255], &[b'a'; 256]];
        for (i, a) in samples.into_iter().enumerate() {
            for (j, b) in samples.into_iter().enumerate() {
                assert_eq!(Password::from(a) == Password::from(b), i == j, "{i} and {j}");
                if let Some(padded) = PaddedPassword::boxed(a) {
                    assert_eq!(padded.matches(b), i == j, "{i} and {j}, padded");
                    assert_eq!(Some(padded) == PaddedPassword::boxed(b), i == j, "{i} and {j}, both padded");
                }
            }
        }
        assert_ne!(Password::from(vec![1; 300]), Password::from(vec![2; 300]));
    }

    #[test]
    fn what_plain_cannot_carry_is_not_padded_and_never_matches() {
        assert!(PaddedPassword::boxed(&[b'a'; 256]).is_none());
        // The first 255 bytes are those of the password: no match by what was cut.
        let padded = PaddedPassword::boxed(&[b'a'; 255]).unwrap();
        assert!(!padded.matches(&[b'a'; 256]) && !padded.matches(&[b'a'; 100_000]));
        assert!(padded.matches(&[b'a'; 255]));
    }

    #[test]
    fn debug_is_redacted() {
        let password = Password::from("hunter2");
        let padded = PaddedPassword::boxed(b"hunter2").unwrap();
        assert_eq!(format!("{password:?} {password:#?} {padded:?}"), "Password(…) Password(…) PaddedPassword(…)");
    }
}
