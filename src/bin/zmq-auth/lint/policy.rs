//! The check of one policy file.

use std::fs;
use std::path::{Path, PathBuf};

use zmq_auth::{Error, PolicyFile};

use super::access;
use super::paths::{File, Kind};
use super::problem::Problem;
use crate::{file, gate};

/// The largest policy file that the library reads.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// All problems of the file itself. The files that a good one names are checked separately.
pub(super) fn check(file: &File) -> Vec<Problem> {
    let mut problems: Vec<_> = PolicyFile::problems(&file.path).iter().map(|error| problem(file, error)).collect();
    if let Err(gate::TableProblem { line, text }) = gate::read_tables(&file.path) {
        problems.push(Problem { line: Some(line), ..Problem::error(file.place(), "bad-policy", text) });
    }
    let Ok(metadata) = fs::metadata(&file.path) else { return problems };
    if !metadata.is_file() {
        return problems;
    }
    // Good enough for a warning: at worst, the word is in a comment.
    let has_passwords = file::read_regular(&file.path, MAX_FILE)
        .is_ok_and(|text| text.windows(15).any(|word| word == b"clear_passwords"));
    problems.extend(access::of_file(file, &metadata, has_passwords));
    problems.extend(access::of_parent(file));
    problems.extend(logins(file));
    if PolicyFile::inspect(&file.path).is_ok_and(|policy| accepts_null_elsewhere(&policy)) {
        let text = "NULL clients are accepted in every domain without a line for null; add null = \"deny\" to \
                    [domain.\"*\"]";
        problems.push(Problem::warning(file.place(), "null-open", text));
    }
    problems
}

/// Whether a NULL client is accepted in a domain that the file doesn't name.
fn accepts_null_elsewhere(policy: &PolicyFile) -> bool {
    // Not UTF-8, so no TOML file can name it.
    const NOT_NAMED: &[u8] = b"\xFF";
    let request = [b"1.0", &b"1"[..], NOT_NAMED, b"127.0.0.1", b"", b"NULL"];
    // If address rules refuse this address, they accept others.
    let explanation = policy.authenticator().explain(&request);
    explanation.is_some_and(|why| why.domain.is_none() && (why.status == Some(200) || why.address_refused))
}

/// Problems of the files with NATS logins.
fn logins(file: &File) -> Vec<Problem> {
    let text = file::read_regular(&file.path, MAX_FILE).ok().and_then(|text| String::from_utf8(text.to_vec()).ok());
    let tables = text.and_then(|text| text.parse::<toml::Table>().ok()).unwrap_or_default();
    let clusters = tables.get("nats").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    let logins = clusters.filter_map(|cluster| cluster.get("login")?.as_str());
    let directory = file.path.parent().unwrap_or(Path::new(""));
    let check = |login: &str| {
        let login = File { path: directory.join(login), kind: Kind::Unknown, order: file.order, directory_owner: None };
        fs::metadata(&login.path).map(|metadata| access::of_file(&login, &metadata, true)).unwrap_or_default()
    };
    logins.flat_map(check).collect()
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

/// The directories and files that a good policy names. Paths below its own directory start as its path was given.
pub(super) fn stores(file: &File) -> Vec<PathBuf> {
    let Ok(policy) = PolicyFile::inspect(&file.path) else { return Vec::new() };
    let (given, whole) = (file.path.parent(), policy.path().parent());
    let shorten = |path: PathBuf| match (given, whole.and_then(|whole| path.strip_prefix(whole).ok())) {
        (Some(given), Some(name)) => given.join(name),
        _ => path,
    };
    policy.stores().into_iter().map(|(path, _)| shorten(path)).collect()
}
