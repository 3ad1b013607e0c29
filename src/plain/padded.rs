//! Passwords padded to one width, so that the time of a comparison doesn't depend on their lengths.

use constant_time_eq::constant_time_eq_64;
use zeroize::{Zeroize, Zeroizing};

use super::{MAX_LENGTH, Password};

/// The size of a cache line, in bytes.
const LINE: usize = 64;
/// Cache lines in a block for passwords of up to 63 bytes.
const NARROW: usize = 1;
/// Cache lines in a block for longer ones.
const WIDE: usize = 4;

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u8; LINE]);

impl Zeroize for Line {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// Passwords of up to 255 bytes, each at its place. Wiped when dropped.
///
/// If any password is longer than 63 bytes, all blocks are wide. They are allocated in full: growing would leave copies
/// behind.
pub(crate) struct PaddedPasswords {
    lines: Zeroizing<Box<[Line]>>,
    wide: bool,
}

impl PaddedPasswords {
    /// In the given order; `None`, or a password of more than 255 bytes, gives a block that nothing matches.
    pub(crate) fn new<'a, I>(passwords: I) -> Self
    where
        I: ExactSizeIterator<Item = Option<&'a Password>> + Clone,
    {
        let wide = passwords.clone().flatten().any(|password| password.as_bytes().len() >= LINE);
        let width = if wide { WIDE } else { NARROW };
        let mut lines = Zeroizing::new(vec![Line([0; LINE]); passwords.len() * width].into_boxed_slice());
        for (block, password) in lines.chunks_exact_mut(width).zip(passwords) {
            let bytes = password.map(Password::as_bytes).filter(|bytes| bytes.len() <= MAX_LENGTH);
            match bytes {
                Some(bytes) if wide => fill(block, &Padded::<WIDE>::new(bytes)),
                Some(bytes) => fill(block, &Padded::<NARROW>::new(bytes)),
                // A byte after the end of an empty text: no password is padded like this.
                None => block[0].0[0] = 1,
            }
        }
        PaddedPasswords { lines, wide }
    }

    /// Whether the candidate is the password at the place. The time depends only on the candidate's length.
    pub(crate) fn matches(&self, place: usize, candidate: &[u8]) -> bool {
        if self.wide { self.matches_in::<WIDE>(place, candidate) } else { self.matches_in::<NARROW>(place, candidate) }
    }

    fn matches_in<const LINES: usize>(&self, place: usize, candidate: &[u8]) -> bool {
        let Some(block) = self.lines.get(place * LINES..(place + 1) * LINES) else { return false };
        let padded = Padded::<LINES>::new(candidate);
        let lines = padded.lines.iter().zip(block);
        lines.fold(padded.fits, |equal, (line, stored)| equal & constant_time_eq_64(line, &stored.0))
    }

    /// The password at the place.
    pub(crate) fn password(&self, place: usize) -> Option<Password> {
        let width = if self.wide { WIDE } else { NARROW };
        let block = self.lines.chunks_exact(width).nth(place)?;
        let length = usize::from(*block.last()?.0.last()?);
        let mut bytes = Vec::with_capacity(length);
        block.iter().for_each(|line| bytes.extend_from_slice(&line.0[..LINE.min(length - bytes.len())]));
        Some(Password::from(bytes))
    }

    #[cfg(test)]
    pub(crate) fn is_wide(&self) -> bool {
        self.wide
    }
}

fn fill<const LINES: usize>(block: &mut [Line], padded: &Padded<LINES>) {
    for (line, bytes) in block.iter_mut().zip(&*padded.lines) {
        line.0 = *bytes;
    }
}

/// A password in its own block: its bytes, zeros, and its length as the last byte.
struct Padded<const LINES: usize> {
    lines: Zeroizing<[[u8; LINE]; LINES]>,
    /// If it doesn't fit, it is cut, so that it costs the same, and must not match.
    fits: bool,
}

impl<const LINES: usize> Padded<LINES> {
    fn new(bytes: &[u8]) -> Self {
        let mut lines = Zeroizing::new([[0; LINE]; LINES]);
        let longest = LINES * LINE - 1;
        let cut = &bytes[..bytes.len().min(longest)];
        let block = lines.as_flattened_mut();
        block[..cut.len()].copy_from_slice(cut);
        block[longest] = cut.len() as u8;
        Padded { lines, fits: bytes.len() <= longest }
    }
}

/// Compares in a time that depends neither on the bytes nor, up to 255 bytes, on the lengths.
pub(super) fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (Padded::<WIDE>::new(one), Padded::<WIDE>::new(other));
    let lines = one.lines.iter().zip(&*other.lines);
    lines.fold(one.fits & other.fits, |equal, (line, other)| equal & constant_time_eq_64(line, other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(passwords: &[Password]) -> PaddedPasswords {
        PaddedPasswords::new(passwords.iter().map(Some))
    }

    #[test]
    fn a_password_matches_only_itself_in_narrow_and_wide_blocks() {
        let mut passwords: Vec<Password> =
            [b"".as_slice(), b"\0", b"\0\0", b"a", b"a\0", b"b", &[b'a'; 62], &[b'a'; 63]]
                .into_iter()
                .map(Password::from)
                .collect();
        for wide in [false, true] {
            if wide {
                passwords.extend([64, 65, 127, 128, 129, 254, 255].map(|n| Password::from(vec![b'a'; n])));
            }
            let blocks = blocks(&passwords);
            assert_eq!(blocks.is_wide(), wide);
            for (place, password) in passwords.iter().enumerate() {
                assert_eq!(blocks.password(place).as_ref(), Some(password), "{place}");
                for (other, candidate) in passwords.iter().enumerate() {
                    assert_eq!(blocks.matches(place, candidate.as_bytes()), place == other, "{place} and {other}");
                }
                for length in [64, 255, 256, 319, 100_000].map(|n| vec![b'a'; n]) {
                    assert_eq!(blocks.matches(place, &length), password.as_bytes() == length, "{place}");
                }
            }
            assert!(!blocks.matches(passwords.len(), b"") && blocks.password(passwords.len()).is_none());
        }
    }

    #[test]
    fn no_password_and_one_that_is_too_long_match_nothing() {
        let (long, other) = (Password::from(vec![1; 256]), Password::from("x"));
        for passwords in [[None, Some(&other)], [Some(&long), Some(&other)]] {
            let blocks = PaddedPasswords::new(passwords.into_iter());
            let candidates = [vec![], vec![0], vec![1], vec![1; 63], vec![0; 255], vec![1; 255], vec![1; 256]];
            assert!(candidates.iter().all(|candidate| !blocks.matches(0, candidate)));
            assert!(blocks.matches(1, b"x"));
        }
        assert!(!blocks(&[]).matches(0, b""));
    }

    #[test]
    fn a_block_has_its_own_cache_lines() {
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (LINE, LINE));
    }

    #[test]
    fn wiped_blocks_are_zeros() {
        let mut blocks = blocks(&[Password::from(vec![b'a'; 255]), Password::from("b")]);
        blocks.lines.zeroize();
        assert!(blocks.lines.iter().all(|line| line.0 == [0; LINE]));
    }

    #[test]
    fn a_password_that_was_cut_does_not_equal_its_beginning() {
        assert!(are_equal(&[1; 255], &[1; 255]));
        assert!(
            !are_equal(&[1; 255], &[1; 256]) && !are_equal(&[1; 256], &[1; 255]) && !are_equal(&[1; 256], &[1; 256])
        );
    }
}
