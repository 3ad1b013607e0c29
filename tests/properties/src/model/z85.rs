//! RFC 32, in numbers of 64 bits.

const ALPHABET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

pub fn encode(key: &[u8; 32]) -> String {
    let mut text = String::new();
    for group in key.chunks(4) {
        let value = group.iter().fold(0u64, |value, byte| value * 256 + u64::from(*byte));
        for power in (0..5).rev() {
            let digit = value / 85u64.pow(power) % 85;
            text.extend(ALPHABET.chars().nth(digit as usize));
        }
    }
    text
}

/// `None` for anything but 40 characters of the alphabet, each five of which are less than 2^32.
pub fn decode(text: &[u8]) -> Option<[u8; 32]> {
    if text.len() != 40 {
        return None;
    }
    let mut key = Vec::new();
    for group in text.chunks(5) {
        let mut value = 0u64;
        for byte in group {
            value = value * 85 + ALPHABET.bytes().position(|character| character == *byte)? as u64;
        }
        if value > u64::from(u32::MAX) {
            return None;
        }
        key.extend((0..4).rev().map(|place| (value >> (8 * place)) as u8));
    }
    key.try_into().ok()
}
