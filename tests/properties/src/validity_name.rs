//! One line below `metadata`: what looks like a validity time is one, or an error.

use std::fs;

use zmq_auth::{Certificate, PublicKey};

use super::disk;
use super::model::certificate::read;

const KEY: &str = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";

/// The bytes as a line of a certificate, and as a name that a program sets.
pub fn holds(bytes: &[u8]) {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let key = format!("\ncurve\n    public-key = \"{KEY}\"\n");
    let file = [b"metadata\n    ", line, key.as_bytes()].concat();
    let loaded = disk::with_file("one.key", |path| {
        fs::write(path, &file).unwrap();
        Certificate::load(path)
    });
    if let Ok(loaded) = &loaded {
        let model = read(&file).expect("a file with an error doesn't load");
        let metadata = model.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        assert!(loaded.metadata().iter().eq(metadata), "{:?} is not {:?}", loaded.metadata(), model.metadata);
        loaded.metadata().iter().for_each(|(name, _)| is_exact_or_another(name));
    }
    let public: PublicKey = KEY.parse().unwrap();
    if let Some(named) =
        str::from_utf8(line).ok().and_then(|name| Certificate::from(public).with_metadata(name, "x").ok())
    {
        named.metadata().iter().for_each(|(name, _)| is_exact_or_another(name));
    }
}

fn is_exact_or_another(name: &str) {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
    let is_known = ["notbefore", "notafter", "publickey", "secretkey"].contains(&&*letters);
    assert!(!is_known || name == "not-before" || name == "not-after", "{name:?} is passed over");
}
