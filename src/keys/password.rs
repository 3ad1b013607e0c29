//! Passwords for PLAIN.

use std::fmt;

use constant_time_eq::constant_time_eq;
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
        match PaddedPassword::in_block(&self.0, WIDE) {
            Some(own) if other.0.len() <= MAX_LENGTH => own.equals::<WIDE>(&other.0),
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

/// Words in a block of 64 bytes, for passwords of up to 63: one line of the processor's cache.
const NARROW: usize = 8;
/// Words in a block of 256 bytes, for every other.
const WIDE: usize = 32;

/// A password of up to 255 bytes in a block: the bytes, zeros, and the length as last byte.
///
/// Comparing whole blocks tells nothing about the length of the password that is stored, where all that might be compared
/// have the same width.
#[derive(Clone)]
pub(crate) struct PaddedPassword(Zeroizing<Box<[u64]>>);

impl PaddedPassword {
    /// In a narrow block where it fits; `None` for more than 255 bytes.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let words = if bytes.len() < NARROW * 8 { NARROW } else { WIDE };
        Self::in_block(bytes, words)
    }

    // On the heap from the start: a move would leave a copy behind.
    fn in_block(bytes: &[u8], words: usize) -> Option<Self> {
        let mut block = Zeroizing::new(vec![0; words].into_boxed_slice());
        pad(bytes, bytemuck::cast_slice_mut(&mut block)).then_some(PaddedPassword(block))
    }

    pub(crate) fn is_wide(&self) -> bool {
        self.0.len() == WIDE
    }

    /// Moves it to a wide block.
    pub(crate) fn widen(&mut self) {
        if !self.is_wide()
            && let Some(wide) = Self::in_block(self.as_bytes(), WIDE)
        {
            *self = wide;
        }
    }

    /// The password itself.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        let block: &[u8] = bytemuck::cast_slice(&self.0);
        let length = block.last().copied().map_or(0, usize::from);
        block.get(..length).unwrap_or_default()
    }

    /// Whether the candidate is this password. One that is too long for the block never is, and costs the same.
    pub(crate) fn matches(&self, candidate: &[u8]) -> bool {
        if self.is_wide() { self.equals::<WIDE>(candidate) } else { self.equals::<NARROW>(candidate) }
    }

    fn equals<const WORDS: usize>(&self, candidate: &[u8]) -> bool {
        let mut padded = Zeroizing::new([0_u64; WORDS]);
        let longest = size_of_val(&*padded) - 1;
        // What is cut always fits, and is always compared.
        let start = &candidate[..candidate.len().min(longest)];
        let fits = candidate.len() <= longest;
        let filled = pad(start, bytemuck::cast_slice_mut(&mut *padded));
        filled & constant_time_eq(bytemuck::cast_slice(&self.0), bytemuck::cast_slice(&*padded)) & fits
    }
}

/// Fills an empty block; tells whether the bytes fit.
fn pad(bytes: &[u8], block: &mut [u8]) -> bool {
    match (u8::try_from(bytes.len()), block.split_last_mut()) {
        (Ok(length), Some((last, rest))) if bytes.len() <= rest.len() => {
            rest[..bytes.len()].copy_from_slice(bytes);
            *last = length;
            true
        }
        _ => false,
    }
}

/// In constant time, whatever their blocks.
impl PartialEq for PaddedPassword {
    fn eq(&self, other: &Self) -> bool {
        match Self::in_block(self.as_bytes(), WIDE) {
            Some(wide) => wide.equals::<WIDE>(other.as_bytes()),
            None => false,
        }
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
                if let Some(padded) = PaddedPassword::new(a) {
                    assert_eq!(padded.matches(b), i == j, "{i} and {j}, padded");
                    assert_eq!(Some(padded) == PaddedPassword::new(b), i == j, "{i} and {j}, both padded");
                }
            }
        }
        assert_ne!(Password::from(vec![1; 300]), Password::from(vec![2; 300]));
    }

    #[test]
    fn what_plain_cannot_carry_is_not_padded_and_never_matches() {
        assert!(PaddedPassword::new(&[b'a'; 256]).is_none());
        // The first 255 bytes are those of the password: no match by what was cut.
        let padded = PaddedPassword::new(&[b'a'; 255]).unwrap();
        assert!(!padded.matches(&[b'a'; 256]) && !padded.matches(&[b'a'; 100_000]));
        assert!(padded.matches(&[b'a'; 255]));
    }

    #[test]
    fn a_block_of_either_width_holds_the_same_password() {
        for length in [1, 62, 63] {
            let bytes = vec![b'a'; length];
            let narrow = PaddedPassword::new(&bytes).unwrap();
            let mut wide = narrow.clone();
            wide.widen();
            assert!(!narrow.is_wide() && wide.is_wide());
            assert_eq!((&narrow, narrow.as_bytes(), wide.as_bytes()), (&wide, &*bytes, &*bytes));
            assert_eq!(wide, narrow);
            for candidate in [0, length - 1, length, length + 1, 64, 254, 255, 256, 319].map(|n| vec![b'a'; n]) {
                let expected = candidate == bytes;
                assert_eq!((narrow.matches(&candidate), wide.matches(&candidate)), (expected, expected));
            }
        }
        assert!(PaddedPassword::new(&[b'a'; 64]).unwrap().is_wide());
    }

    #[test]
    fn debug_is_redacted() {
        let password = Password::from("hunter2");
        let padded = PaddedPassword::new(b"hunter2").unwrap();
        assert_eq!(format!("{password:?} {password:#?} {padded:?}"), "Password(…) Password(…) PaddedPassword(…)");
    }
}
