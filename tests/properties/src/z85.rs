//! Keys as text.

use std::str;

use zmq_auth::{PublicKey, SecretKey};

use crate::model::z85;

/// The bytes as a key, and as the text of one.
pub fn holds(bytes: &[u8]) {
    if let Some(key) = bytes.first_chunk::<32>() {
        let text = z85::encode(key);
        assert_eq!(PublicKey::from(*key).to_string(), text);
        assert_eq!(*SecretKey::from(*key).to_z85(), text);
        assert_eq!(decoded(&text), Some(*key), "what is encoded decodes");
    }
    if let Ok(text) = str::from_utf8(bytes) {
        reads_alike(text);
    }
    // Most bytes are no text: as many characters of it as a key has.
    let alike: String = bytes.iter().take(40).map(|byte| char::from(byte % 96 + 32)).collect();
    reads_alike(&alike);
}

fn reads_alike(text: &str) {
    let key = decoded(text);
    assert_eq!(key, z85::decode(text.as_bytes()), "{text:?}");
    if let Some(key) = key {
        assert_eq!(PublicKey::from(key).to_string(), text, "what decodes encodes to itself");
    }
}

fn decoded(text: &str) -> Option<[u8; 32]> {
    let public = text.parse::<PublicKey>().ok().map(|key| *key.as_bytes());
    let secret = text.parse::<SecretKey>().ok().map(|key| *key.as_bytes());
    assert_eq!(public, secret, "both halves are read alike");
    public
}
