//! The check of one password file.

use std::fs;

use zmq_auth::PasswordFile;

use super::access;
use super::paths::File;
use super::problem::Problem;

pub(super) fn check(file: &File) -> Vec<Problem> {
    let errors = PasswordFile::problems(&file.path);
    let mut problems: Vec<_> = errors.iter().map(|error| Problem::of(file.place(), error)).collect();
    let Ok(metadata) = fs::metadata(&file.path) else { return problems };
    if !metadata.is_file() {
        return problems;
    }
    problems.extend(access::of_file(file, &metadata, true));
    problems.extend(access::of_parent(file));
    if errors.is_empty() && PasswordFile::open(&file.path).is_ok_and(|users| users.status().entries == 0) {
        let text = "it has no users, so nobody is accepted; add lines of name=password";
        problems.push(Problem::warning(file.place(), "no-users", text));
    }
    problems
}
