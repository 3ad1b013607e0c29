//! The check of one policy file.

use std::fs;
use std::path::PathBuf;

use zmq_auth::{Error, PolicyFile};

use super::access;
use super::paths::File;
use super::problem::Problem;

/// All that is wrong with the file itself. What it names is checked apart where the file is good.
pub(super) fn check(file: &File) -> Vec<Problem> {
    let mut problems: Vec<_> = PolicyFile::problems(&file.path).iter().map(|error| problem(file, error)).collect();
    let Ok(metadata) = fs::metadata(&file.path) else { return problems };
    // Good enough for a warning: the word stands in a comment at worst.
    let has_passwords = fs::read(&file.path).is_ok_and(|text| text.windows(15).any(|word| word == b"clear_passwords"));
    problems.extend(access::of_file(file, &metadata, has_passwords));
    problems
}

fn problem(file: &File, error: &Error) -> Problem {
    match error {
        Error::PolicyFile { place: Some((line, column)), problem, .. } => Problem {
            line: Some(*line),
            ..Problem::error(file.place(), "bad-policy", format!("{problem} (column {column})"))
        },
        other => Problem::of(file.place(), other),
    }
}

/// The directories and files that a good policy names; those beside it as its own path was given.
pub(super) fn stores(file: &File) -> Vec<PathBuf> {
    let Ok(policy) = PolicyFile::open(&file.path) else { return Vec::new() };
    let (given, whole) = (file.path.parent(), policy.path().parent());
    let shorten = |path: PathBuf| match (given, whole.and_then(|whole| path.strip_prefix(whole).ok())) {
        (Some(given), Some(name)) => given.join(name),
        _ => path,
    };
    policy.stores().into_iter().map(|(path, _)| shorten(path)).collect()
}
