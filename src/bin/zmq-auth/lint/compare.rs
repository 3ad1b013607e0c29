//! Problems between files: one key in two files, and a public and a secret file that don't belong together.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use zmq_auth::PublicKey;

use super::certificate::Checked;
use super::paths::{File, Kind};
use super::problem::Problem;
use crate::escape;

/// Compares the readable certificates: within a directory, each key with those before it; over all paths,
/// NAME.key_secret with each NAME.key.
pub(super) fn compare(files: &[File], checked: &[Checked]) -> Vec<Problem> {
    let certificates = || files.iter().zip(checked).filter_map(|(file, checked)| Some((file, checked.key?)));
    let mut problems = Vec::new();

    let mut first: HashMap<(Option<&Path>, bool, PublicKey), &File> = HashMap::new();
    for (file, key) in certificates() {
        let place = (file.path.parent(), file.kind == Kind::Secret, key);
        match first.get(&place) {
            None => {
                first.insert(place, file);
            }
            Some(first) => {
                let name = escape::path(first.path.file_name().map(Path::new).unwrap_or(&first.path));
                let text = format!(
                    "{name} in the same directory has the same key, which is accepted until both are removed; remove one of them"
                );
                problems.push(Problem::warning(file.place(), "duplicate-key", text));
            }
        }
    }

    let mut public: HashMap<&OsStr, Vec<(&File, PublicKey)>> = HashMap::new();
    for (file, key) in certificates().filter(|(file, _)| file.kind == Kind::Public) {
        public.entry(file.path.file_stem().unwrap_or_default()).or_default().push((file, key));
    }
    for (file, key) in certificates().filter(|(file, _)| file.kind == Kind::Secret) {
        let halves = public.get(file.path.file_stem().unwrap_or_default()).into_iter().flatten();
        for (half, _) in halves.filter(|(_, half)| *half != key) {
            let text =
                format!("its public key differs from that of {}; replace the outdated file", escape::path(&half.path));
            problems.push(Problem::error(file.place(), "other-half", text));
        }
    }
    problems
}
