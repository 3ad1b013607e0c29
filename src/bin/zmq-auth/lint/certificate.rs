//! The check of one certificate file.

use std::fs::{self, Metadata};

use jiff::Timestamp;
use zmq_auth::{Certificate, Error, PublicKey};

use super::paths::{File, Kind};
use super::problem::Problem;
use super::{Times, access};

/// The result of checking a file.
pub(super) struct Checked {
    pub(super) problems: Vec<Problem>,
    /// Its public key, if it is a certificate that can be read.
    pub(super) key: Option<PublicKey>,
}

impl Checked {
    pub(super) fn of(problems: Vec<Problem>) -> Self {
        Checked { problems, key: None }
    }
}

/// Checks a file that is named as a certificate.
pub(super) fn check(file: &File, times: Times) -> Checked {
    match Certificate::load(&file.path) {
        Ok(certificate) => check_loaded(file, &certificate, times),
        Err(error) => {
            let mut problems = all(file, &error);
            if let Ok(metadata) = fs::metadata(&file.path)
                && metadata.is_file()
            {
                problems.extend(of_access(file, &metadata, file.kind == Kind::Secret));
            }
            Checked::of(problems)
        }
    }
}

/// Checks a file of any name, if it can be read as a certificate.
pub(super) fn check_unknown(file: &File, times: Times) -> Option<Checked> {
    let certificate = Certificate::load(&file.path).ok()?;
    let mut checked = check_loaded(file, &certificate, times);
    let wanted = if certificate.key_pair().is_some() { "NAME.key_secret" } else { "NAME.key" };
    let text = format!("it is a certificate, and servers read only files named NAME.key; rename it to {wanted}");
    checked.problems.push(Problem::warning(file.place(), "other-name", text));
    Some(checked)
}

/// All problems of a file that couldn't be loaded; just the first if it has changed since and has none now.
fn all(file: &File, first: &Error) -> Vec<Problem> {
    let problems = Certificate::problems(&file.path);
    if problems.is_empty() {
        return vec![Problem::of(file.place(), first)];
    }
    problems.iter().map(|error| Problem::of(file.place(), error)).collect()
}

fn check_loaded(file: &File, certificate: &Certificate, times: Times) -> Checked {
    let mut problems = Vec::new();
    let is_secret = certificate.key_pair().is_some();
    match fs::metadata(&file.path) {
        Ok(metadata) => problems.extend(of_access(file, &metadata, is_secret)),
        Err(error) => {
            let text = format!("cannot open: {error}; check the path and its permissions");
            problems.push(Problem::error(file.place(), "unreadable", text));
        }
    }
    match file.kind {
        Kind::Public if is_secret => {
            let text = "it contains a secret key, but is named like a public certificate; move it away, and give its owner a new \
                        pair";
            problems.push(Problem::error(file.place(), "secret-in-public", text));
        }
        Kind::Secret if !is_secret => {
            let text = "it has no secret-key line, but is named like a secret certificate; rename it to NAME.key, or restore the \
                        secret";
            problems.push(Problem::error(file.place(), "no-secret", text));
        }
        Kind::Secret if file.directory_owner.is_some() => {
            let text =
                "a secret certificate in a server's directory, which needs only public ones; move it to its owner";
            problems.push(Problem::warning(file.place(), "secret-file", text));
        }
        _ => {}
    }
    if let Some(pair) = certificate.key_pair()
        && matches!(pair.check(), Err(Error::KeyMismatch))
    {
        let text = "the public and the secret key are not a pair: no handshake can succeed with them; restore the file, or \
                    make a new pair";
        problems.push(Problem::error(file.place(), "not-a-pair", text));
    }
    problems.extend(validity(file, certificate, times));
    Checked { problems, key: Some(certificate.public_key()) }
}

/// Problems of access to the file, and to its directory if that isn't checked by itself.
fn of_access(file: &File, metadata: &Metadata, is_secret: bool) -> Vec<Problem> {
    let mut problems = access::of_file(file, metadata, is_secret);
    if file.directory_owner.is_none() {
        problems.extend(access::of_parent(file));
    }
    problems
}

/// Problems of the certificate's validity. A server refuses to load a file with an unreadable time.
fn validity(file: &File, certificate: &Certificate, Times { now, soon }: Times) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut time = |name: &str| {
        let text = certificate.metadata().get(name)?;
        let time = text.parse::<Timestamp>();
        if time.is_err() {
            let text = format!("{name} is not an RFC 3339 time; write it like 2027-01-31T00:00:00Z");
            problems.push(Problem::error(file.place(), "bad-time", text));
        }
        time.ok()
    };
    let (from, until) = (time("not-before"), time("not-after"));
    match (from, until) {
        (Some(from), Some(until)) if from > until => {
            let text = "not-after is before not-before: it is never valid; correct the times";
            problems.push(Problem::error(file.place(), "bad-time", text));
        }
        (_, Some(until)) if until < now => {
            let text = format!("expired at {until}; give its owner a new certificate, and remove this one");
            problems.push(Problem::error(file.place(), "expired", text));
        }
        (_, Some(until)) if until <= soon => {
            let text = format!("expires at {until}; give its owner a new certificate before then");
            problems.push(Problem::warning(file.place(), "expires-soon", text));
        }
        (Some(from), _) if from > now => {
            let text = format!(
                "not valid before {from}: until then its owner is refused; correct not-before if that is not intended"
            );
            problems.push(Problem::warning(file.place(), "not-yet-valid", text));
        }
        _ => {}
    }
    problems
}
