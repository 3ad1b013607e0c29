//! The password type.

use std::fmt;

use constant_time_eq::constant_time_eq;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::MAX_LENGTH;
use super::padded::are_equal;
#[cfg(feature = "argon2")]
use super::{hash::Phc, problem};
#[cfg(feature = "argon2")]
use crate::error::{Error, Result};

/// A password for PLAIN: bytes that are wiped when dropped, never printed, and compared in constant time.
///
/// libzmq sends 1 to 255 bytes. A `Password` holds any number; the calls that take one refuse what can't be sent. The time
/// to compare two of up to 255 bytes depends neither on where they differ nor on their lengths.
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

    /// Hashes it with argon2id, `m=19456` (19 MiB), `t=2`, `p=1` and a new random salt, to a PHC string for
    /// [`PasswordFile`](crate::PasswordFile) and [`PushedCredentials`](crate::PushedCredentials).
    ///
    /// # Errors
    /// [`Error::PlainCredentials`] for a password that no client can send, and if the system has no random numbers or no
    /// memory.
    ///
    /// ```
    /// let hash = zmq_auth::Password::from("correct horse battery staple").hash()?;
    /// assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[cfg(feature = "argon2")]
    pub fn hash(&self) -> Result<String> {
        let made = problem(self.as_bytes()).map_or_else(|| Phc::make(self), Err);
        made.map_err(|problem| Error::PlainCredentials { what: "password", problem })
    }
}

/// Copies; the caller's text isn't wiped.
impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Password::from(text.as_bytes())
    }
}

/// Takes the string without copying it.
impl From<String> for Password {
    fn from(text: String) -> Self {
        Password::from(text.into_bytes())
    }
}

/// Takes the string without copying it.
impl From<Zeroizing<String>> for Password {
    fn from(mut text: Zeroizing<String>) -> Self {
        Password::from(std::mem::take(&mut *text))
    }
}

/// Copies; the caller's bytes aren't wiped.
impl From<&[u8]> for Password {
    fn from(bytes: &[u8]) -> Self {
        Password(Zeroizing::new(bytes.to_vec()))
    }
}

/// Takes the bytes without copying them.
impl From<Vec<u8>> for Password {
    fn from(bytes: Vec<u8>) -> Self {
        Password(Zeroizing::new(bytes))
    }
}

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        if self.0.len().max(other.0.len()) <= MAX_LENGTH {
            are_equal(&self.0, &other.0)
        } else {
            // Too long for PLAIN: here the time reveals the lengths, and nothing else.
            constant_time_eq(&self.0, &other.0)
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
            }
        }
        assert_ne!(Password::from(vec![1; 300]), Password::from(vec![2; 300]));
    }

    #[test]
    fn debug_is_redacted() {
        let password = Password::from("hunter2");
        assert_eq!(format!("{password:?} {password:#?}"), "Password(…) Password(…)");
    }
}
