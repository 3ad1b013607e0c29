//! The certificates of a server's directory, read as a server reads them.

use std::ffi::OsString;
use std::fs;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;

use zmq_auth::{Certificate, Error, PublicKey};

use crate::output::Failure;
use crate::validity::Validity;
use crate::{escape, file};

/// The subdirectory for certificates taken out of a directory. Servers don't read subdirectories.
pub(crate) const REVOKED: &str = "revoked";

/// A `*.key` file of the directory.
pub(crate) struct Entry {
    pub(crate) file: OsString,
    pub(crate) certificate: Result<Certificate, Error>,
    /// The mode of the file, if it could be read.
    pub(crate) mode: Option<u32>,
}

impl Entry {
    pub(crate) fn has_key(&self, key: &PublicKey) -> bool {
        self.certificate.as_ref().is_ok_and(|certificate| certificate.public_key() == *key)
    }

    /// The file's name for people.
    pub(crate) fn name(&self) -> String {
        escape::text(&self.file.to_string_lossy())
    }
}

/// Reads the files that a server reads, sorted by name.
pub(crate) fn read(directory: &Path) -> Result<Vec<Entry>, Failure> {
    let failed = |error| Failure::new(format!("{}: cannot list: {error}", escape::path(directory)));
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let file = entry.map_err(failed)?.file_name();
        if is_read(&file) {
            files.push(file);
        }
    }
    files.sort_unstable();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    // At least 100 files for each thread: starting one takes as long as reading several files.
    let part = files.len().div_ceil(threads).max(100);
    let read_part = |files: &[OsString]| files.iter().map(|file| read_file(directory, file)).collect::<Vec<_>>();
    Ok(thread::scope(|scope| {
        let parts: Vec<_> = files.chunks(part).map(|files| (files, scope.spawn(|| read_part(files)))).collect();
        // If a thread panicked, its part is read here.
        parts.into_iter().flat_map(|(files, thread)| thread.join().unwrap_or_else(|_| read_part(files))).collect()
    }))
}

/// Whether a server reads a file of this name.
pub(crate) fn is_read(file: &OsString) -> bool {
    file.as_bytes().ends_with(b".key") && !file.as_bytes().starts_with(b".")
}

fn read_file(directory: &Path, file: &OsString) -> Entry {
    let path = directory.join(file);
    Entry { certificate: Certificate::load(&path), mode: mode(&path), file: file.clone() }
}

/// A file's permission bits.
pub(crate) fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.permissions().mode() & 0o777)
}

/// The problems of a certificate that can be read.
pub(crate) fn problems(certificate: &Certificate, mode: Option<u32>) -> Vec<String> {
    let mut problems = Vec::new();
    let mode = mode.unwrap_or_default();
    if let Err(problem) = Validity::of(certificate.metadata()) {
        problems.push(problem);
    }
    if mode & 0o022 != 0 {
        problems.push(format!("users other than its owner can change it (mode {mode:03o}): chmod go-w"));
    }
    if let Some(pair) = certificate.key_pair() {
        if mode & 0o077 != 0 {
            problems.push(format!(
                "has a secret key, and users other than its owner can read it (mode {mode:03o}): chmod 600"
            ));
        }
        if matches!(pair.check(), Err(Error::KeyMismatch)) {
            problems.push("its public and secret keys are not a pair: no handshake can succeed with them".into());
        }
    }
    problems
}

/// Why a file can't be read, without its path.
pub(crate) fn reason(error: &Error) -> String {
    match error {
        Error::Certificate { line: Some(line), problem, .. } => format!("line {line}: {problem}"),
        Error::Certificate { line: None, problem, .. } => (*problem).into(),
        Error::Io { action, source, .. } => format!("cannot {action}: {source}"),
        other => other.to_string(),
    }
}

/// Fails if this can't be the name of a certificate file.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.contains(['/', '\\']) {
        "contains a path separator: give the directory separately"
    } else if name.starts_with('.') {
        "starts with a dot: servers don't read hidden files"
    } else if name.contains(char::is_control) {
        "has a control character"
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!("the name {name:?} {problem}")))
}

/// Moves a file of the directory into `revoked`, under a free name.
pub(crate) fn move_out(directory: &Path, file: &OsString) -> std::io::Result<PathBuf> {
    let place = free_place(directory, file)?;
    fs::rename(directory.join(file), &place).inspect_err(|_| drop(fs::remove_file(&place)))?;
    Ok(place)
}

/// Copies a file of the directory into `revoked`, under a free name.
pub(crate) fn keep_copy(directory: &Path, file: &OsString) -> std::io::Result<PathBuf> {
    let place = free_place(directory, file)?;
    let old = directory.join(file);
    fs::copy(&old, &place).inspect_err(|_| drop(fs::remove_file(&place)))?;
    if let Some((user, group)) = file::owner(&old) {
        // So that it has the right owner if it is put back.
        let _ = chown(&place, Some(user), Some(group));
    }
    Ok(place)
}

/// Creates an empty file under a free name, so that nobody else takes the name.
fn free_place(directory: &Path, file: &OsString) -> std::io::Result<PathBuf> {
    let revoked = directory.join(REVOKED);
    match fs::create_dir(&revoked) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut number = 1;
    loop {
        let mut name = file.clone();
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let place = revoked.join(name);
        match fs::OpenOptions::new().write(true).create_new(true).open(&place) {
            Ok(_) => return Ok(place),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}
