//! Z85 (RFC 32) of keys: 32 bytes are 40 characters. Anything else is an error.
//!
//! `zmq::z85_decode` isn't used: it accepts characters outside the alphabet, and decodes them to wrong bytes.

use crate::error::KeyProblem;

/// The length of an encoded key, in characters.
pub(crate) const ENCODED: usize = 40;

const DECODED: usize = 32;
const ALPHABET: &[u8; 85] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
const NONE: u8 = u8::MAX;
const VALUES: [u8; 256] = values();

pub(crate) const BAD_CHARACTER: KeyProblem =
    KeyProblem::new("the key has a character outside the Z85 alphabet (RFC 32)");
pub(crate) const BAD_GROUP: KeyProblem =
    KeyProblem::new("the key has five characters that stand for more than 32 bits (RFC 32)");

/// Encodes into the caller's buffer, so that no copy of a secret remains.
pub(crate) fn encode(bytes: &[u8; DECODED], text: &mut [u8; ENCODED]) {
    for (group, characters) in bytes.as_chunks::<4>().0.iter().zip(text.as_chunks_mut::<5>().0) {
        let mut value = u32::from_be_bytes(*group);
        for character in characters.iter_mut().rev() {
            *character = ALPHABET[(value % 85) as usize];
            value /= 85;
        }
    }
}

/// Decodes into the caller's buffer, which holds no part of a key after an error. The error never quotes the text.
pub(crate) fn decode(text: &[u8], bytes: &mut [u8; DECODED]) -> Result<(), KeyProblem> {
    let text: &[u8; ENCODED] = text.try_into().map_err(|_| bad_length(text))?;
    for (characters, group) in text.as_chunks::<5>().0.iter().zip(bytes.as_chunks_mut::<4>().0) {
        let mut value: u32 = 0;
        for &character in characters {
            let digit = VALUES[usize::from(character)];
            if digit == NONE {
                return Err(BAD_CHARACTER);
            }
            value = value.checked_mul(85).and_then(|value| value.checked_add(digit.into())).ok_or(BAD_GROUP)?;
        }
        *group = value.to_be_bytes();
    }
    Ok(())
}

/// Describes text of another length.
fn bad_length(text: &[u8]) -> KeyProblem {
    let found = str::from_utf8(text).map_or(text.len(), |text| text.chars().count());
    let around = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | 0);
    let start = text.iter().position(|byte| !around(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !around(byte)).map_or(start, |last| last + 1);
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    let problem = if end - start == ENCODED {
        "the key doesn't have 40 characters: there are blanks, a line break, quotes or a NUL around it"
    } else if text.len() == 2 * DECODED && text.iter().all(u8::is_ascii_hexdigit) {
        "the key doesn't have 40 characters of Z85 (RFC 32): it looks like hex"
    } else if matches!(text.len(), 43 | 44) && text.iter().all(base64) {
        "the key doesn't have 40 characters of Z85 (RFC 32): it looks like base64"
    } else {
        "the key doesn't have 40 characters of Z85 (RFC 32)"
    };
    KeyProblem::with_length(problem, found)
}

const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut digit = 0;
    while digit < ALPHABET.len() {
        values[ALPHABET[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    // The test vector of RFC 32, "Test Case", four times over.
    const VECTOR: [u8; 8] = [0x86, 0x4F, 0xD2, 0x6F, 0xB5, 0x59, 0xF7, 0x5B];
    const TEXT: &str = "HelloWorldHelloWorldHelloWorldHelloWorld";

    fn decoded(text: &[u8]) -> Result<[u8; DECODED], KeyProblem> {
        let mut bytes = [0; DECODED];
        decode(text, &mut bytes).map(|()| bytes)
    }

    fn encoded(bytes: &[u8; DECODED]) -> [u8; ENCODED] {
        let mut text = [0; ENCODED];
        encode(bytes, &mut text);
        text
    }

    #[test]
    fn the_vector_of_rfc_32_both_ways() {
        let bytes: [u8; DECODED] = VECTOR.repeat(4).try_into().unwrap();
        assert_eq!(decoded(TEXT.as_bytes()), Ok(bytes));
        assert_eq!(encoded(&bytes), TEXT.as_bytes());
        assert_eq!(encoded(&[0; DECODED]), [b'0'; ENCODED]);
        assert_eq!(&encoded(&[0xFF; DECODED]), b"%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0%nSc0");
    }

    #[test]
    fn libzmq_encodes_alike() {
        let bytes: [u8; DECODED] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        assert_eq!(zmq::z85_encode(&bytes).unwrap().as_bytes(), encoded(&bytes));
    }

    #[test]
    fn every_other_length_is_refused() {
        for length in (0..200).filter(|&length| length != ENCODED) {
            let shown = decoded(&vec![b'0'; length]).unwrap_err().to_string();
            assert!(shown.ends_with(&format!("(it has {length})")), "{shown}");
        }
    }

    #[test]
    fn the_error_says_what_a_wrong_length_looks_like_and_never_quotes_the_text() {
        let hex = "86d2".repeat(16);
        let base64 = format!("{}=", "q8Z/+".repeat(9).split_at(43).0);
        for (text, wanted) in [
            (format!("{TEXT}\n"), "line break"),
            (format!("\"{TEXT}\""), "quotes"),
            (format!("{TEXT}\0"), "NUL"),
            (hex, "looks like hex (it has 64)"),
            (base64, "looks like base64 (it has 44)"),
            ("äöü".into(), "(it has 3)"),
        ] {
            let shown = format!("{0} {0:?}", decoded(text.as_bytes()).unwrap_err());
            assert!(shown.contains(wanted), "{shown}");
            assert!(!shown.contains(text.trim_matches(['\n', '"', '\0'])), "{shown}");
        }
    }

    #[test]
    fn every_byte_outside_the_alphabet_is_refused_wherever_it_stands() {
        for byte in (0..=255).filter(|byte| !ALPHABET.contains(byte)) {
            for place in 0..ENCODED {
                let mut text = [b'0'; ENCODED];
                text[place] = byte;
                assert_eq!(decoded(&text), Err(BAD_CHARACTER), "byte {byte} at {place}");
            }
        }
    }

    #[test]
    fn a_group_beyond_32_bits_is_refused() {
        // "%nSc0" is 2^32 - 1, "%nSc1" one more, "#####" the largest value of five characters.
        for group in ["%nSc1", "#####", "%o000"] {
            for place in 0..8 {
                let mut text = [b'0'; ENCODED];
                text[place * 5..place * 5 + 5].copy_from_slice(group.as_bytes());
                assert_eq!(decoded(&text), Err(BAD_GROUP), "{group} in group {place}");
            }
        }
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_text() {
        let mut random = Random(7);
        for _ in 0..20_000 {
            let bytes: [u8; DECODED] = std::array::from_fn(|_| random.next());
            assert_eq!(decoded(&encoded(&bytes)), Ok(bytes));
            let text: [u8; ENCODED] = std::array::from_fn(|_| ALPHABET[usize::from(random.next()) % 85]);
            if let Ok(bytes) = decoded(&text) {
                assert_eq!(encoded(&bytes), text);
            }
        }
    }

    /// xorshift: the same bytes in every run.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u8 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 24) as u8
        }
    }
}
