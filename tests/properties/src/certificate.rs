//! Certificate files: what is read, and that what is written is read back equal.

use std::fs;
use std::path::Path;
use std::str;
use std::sync::OnceLock;

use zmq_auth::{Certificate, Error, KeyPair};

use crate::disk;
use crate::model::certificate::read;

/// The bytes as a file; and as lines `name=value` of metadata that a program sets.
pub fn holds(bytes: &[u8]) {
    let directory = disk::directory();
    let file = directory.path().join("given.key");
    fs::write(&file, bytes).unwrap();
    match (Certificate::load(&file), read(bytes)) {
        (Ok(loaded), model) => {
            let model = model.expect("a file without a good key doesn't load");
            assert_eq!(loaded.public_key().as_bytes(), &model.public);
            assert_eq!(loaded.public_key().to_string().len(), 40);
            assert_eq!(loaded.key_pair().map(|pair| *pair.secret.as_bytes()), model.secret);
            let metadata = model.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            assert!(loaded.metadata().iter().eq(metadata), "{:?} is not {:?}", loaded.metadata(), model.metadata);
            is_read_back(&loaded, directory.path());
        }
        (Err(error), Some(_)) => {
            assert!(bytes.windows(8).any(|word| word == b"metadata") || bytes.len() > 65_536, "{error}");
        }
        (Err(_), None) => {}
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let mut certificate = Certificate::from(pair().clone());
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            certificate = certificate.clone().with_metadata(name, value).unwrap_or(certificate);
        }
        assert!(is_read_back(&certificate, directory.path()), "what may be set can be written");
    }
}

/// Whether both forms can contain it; a form that can't must say so.
fn is_read_back(certificate: &Certificate, directory: &Path) -> bool {
    let mut is_written = true;
    let public = directory.join("again.key");
    let _ = fs::remove_file(&public);
    match certificate.save_public(&public) {
        Ok(()) => {
            let again = Certificate::load(&public).expect("what was saved loads");
            assert_eq!(again.public_key(), certificate.public_key());
            assert!(again.key_pair().is_none(), "a public file has no secret key");
            assert_eq!(again.metadata(), certificate.metadata());
        }
        Err(Error::Metadata { .. }) => is_written = false,
        Err(error) => panic!("{error}"),
    }
    match certificate.replace_pair(directory, "pair") {
        Ok((public, secret)) => {
            assert_eq!(&Certificate::load(secret).expect("what was saved loads"), certificate);
            assert_eq!(Certificate::load(public).unwrap(), Certificate::from(certificate.public_key()));
        }
        Err(Error::Metadata { .. } | Error::KeyMismatch) => is_written = false,
        Err(Error::Certificate { .. }) if certificate.key_pair().is_none() => {}
        Err(error) => panic!("{error}"),
    }
    is_written
}

fn pair() -> &'static KeyPair {
    static PAIR: OnceLock<KeyPair> = OnceLock::new();
    PAIR.get_or_init(|| KeyPair::generate().expect("libzmq has CURVE"))
}
