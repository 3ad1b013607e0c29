//! The certificate cells of the matrix: each maker × each reader.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zmq_auth::load_certificate;

use super::credentials::{PATIENCE, make_by};
use super::peer::Peer;
use super::process::Process;

/// A certificate that each maker must make.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    file: &'static str,
    metadata: &'static [(&'static str, &'static str)],
}

pub(crate) const SAMPLES: &[Sample] = &[
    Sample { name: "certificate", file: "alice", metadata: &[] },
    Sample {
        name: "certificate with metadata",
        file: "alice",
        metadata: &[("role", "reader"), ("full-name", "Alice Liddell")],
    },
    Sample { name: "certificate with a hash sign", file: "alice", metadata: &[("room", "a # b")] },
    Sample { name: "certificate with quotes", file: "alice", metadata: &[("motto", "say \"friend\" and enter")] },
    Sample { name: "certificate with other letters", file: "alice", metadata: &[("city", "Zürich €")] },
    Sample { name: "certificate with an odd name", file: "al ice.2", metadata: &[] },
];

/// The result of making a certificate, or of reading it.
pub(crate) struct Outcome {
    /// `None` for a difference in making it.
    pub(crate) reader: Option<usize>,
    pub(crate) differences: Vec<String>,
}

/// Lets a peer make the certificate, and others read it.
pub(crate) fn run(peers: &[Peer], maker: usize, readers: &[usize], sample: &Sample, directory: &Path) -> Vec<Outcome> {
    let alone = |differences| Outcome { reader: None, differences };
    let metadata: Vec<String> = sample.metadata.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if let Err(error) = fs::create_dir_all(directory) {
        return vec![alone(vec![format!("maker: cannot create a directory: {error}")])];
    }
    if make_by(&peers[maker], directory, sample.file, &metadata).is_err() {
        return vec![alone(vec!["maker: refuses".to_owned()])];
    }
    let (Some(public), Some(secret)) = (find(directory, false), find(directory, true)) else {
        return vec![alone(vec!["maker: it doesn't make two files".to_owned()])];
    };
    let mut differences = Vec::new();
    let mode = fs::metadata(&secret).map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        differences.push("maker: others can read the secret file".to_owned());
    }
    let key = load_certificate(&public).map(|(key, _)| key.to_string());
    let mut outcomes = vec![alone(differences)];
    for reader in readers {
        let read = |file: &Path| read_by(&peers[*reader], file);
        let mut differences = Vec::new();
        match read(&secret) {
            Err(_) => differences.push("reader: can't read the secret file".to_owned()),
            Ok(event) => {
                if event["public"].as_str() != key.as_deref().ok() {
                    differences.push("reader: another public key in the secret file".to_owned());
                }
                if event["has_secret"] != true {
                    differences.push("reader: no secret key in the secret file".to_owned());
                }
                differences.extend(metadata_difference(sample, &event["metadata"]));
            }
        }
        match read(&public) {
            Err(_) => differences.push("reader: can't read the public file".to_owned()),
            Ok(event) => {
                if event["public"].as_str() != key.as_deref().ok() {
                    differences.push("reader: another public key in the public file".to_owned());
                }
                if event["has_secret"] == true {
                    differences.push("reader: a secret key in the public file".to_owned());
                }
            }
        }
        outcomes.push(Outcome { reader: Some(*reader), differences });
    }
    outcomes
}

/// Finds the public or the secret file of a pair: `NAME.key` and `NAME.key_secret`, or `NAME` and `NAME_secret`.
fn find(directory: &Path, is_secret: bool) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.into_iter().find(|path| path.to_string_lossy().ends_with("_secret") == is_secret)
}

fn read_by(peer: &Peer, file: &Path) -> Result<Value, String> {
    let events = Process::start(peer.command(&["read-certificate", &file.to_string_lossy()]))?.end(PATIENCE)?;
    let found = events.into_iter().find(|event| event["public"].is_string());
    found.ok_or_else(|| "it can't be read".to_owned())
}

/// The difference in metadata, if any. A stack that doesn't read metadata returns null.
fn metadata_difference(sample: &Sample, read: &Value) -> Option<String> {
    let read = read.as_object()?;
    let read: BTreeMap<&str, &str> =
        read.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap_or("(no text)"))).collect();
    let expected: BTreeMap<&str, &str> = sample.metadata.iter().copied().collect();
    (read != expected).then(|| "reader: other metadata".to_owned())
}
