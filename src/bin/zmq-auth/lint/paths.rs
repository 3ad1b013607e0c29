//! Listing the files of the given paths: directories, certificates, password files, policy files.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::problem::Problem;
use super::{access, policy};
use crate::directory::REVOKED;

/// A file to be checked.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    /// The position of the given path among the arguments.
    pub(super) order: usize,
    /// The owner of the directory in which it was found, who may own it, too.
    pub(super) directory_owner: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `NAME.key`.
    Public,
    /// `NAME.key_secret`.
    Secret,
    Passwords,
    /// `*.toml`.
    Policy,
    /// To be detected by its content.
    Unknown,
}

pub(super) struct Listed {
    pub(super) files: Vec<File>,
    /// Problems of directories, and of file names that servers don't read.
    pub(super) problems: Vec<Problem>,
}

impl File {
    pub(super) fn place(&self) -> (&Path, usize) {
        (&self.path, self.order)
    }
}

/// Lists the files in the order of the paths, each once.
pub(super) fn list(paths: &[PathBuf], passwords: &[PathBuf]) -> Listed {
    let mut listed = Listed { files: Vec::new(), problems: Vec::new() };
    let mut order = 0..;
    let mut directories = HashSet::new();
    for (path, order) in paths.iter().zip(&mut order) {
        if path.is_dir() {
            if directories.insert(canonical(path)) {
                listed.directory(path, order);
            }
            continue;
        }
        let kind = kind(path).unwrap_or(Kind::Unknown);
        let file = File { path: path.clone(), kind, order, directory_owner: None };
        let stores = if kind == Kind::Policy { policy::stores(&file) } else { Vec::new() };
        listed.files.push(file);
        for store in stores {
            if !store.is_dir() {
                listed.files.push(File { path: store, kind: Kind::Passwords, order, directory_owner: None });
            } else if directories.insert(canonical(&store)) {
                listed.directory(&store, order);
            }
        }
    }
    for (path, order) in passwords.iter().zip(order) {
        listed.files.push(File { path: path.clone(), kind: Kind::Passwords, order, directory_owner: None });
    }
    let mut seen = HashSet::new();
    listed.files.retain(|file| seen.insert((file.path.clone(), file.kind == Kind::Passwords)));
    listed
}

impl Listed {
    fn directory(&mut self, directory: &Path, order: usize) {
        let place = (directory, order);
        let unreadable = |error: std::io::Error| {
            Problem::error(place, "unreadable", format!("cannot list: {error}; check the path and its permissions"))
        };
        let owner = match fs::metadata(directory) {
            Ok(metadata) => {
                self.problems.extend(access::of_directory(place, &metadata, false));
                metadata.uid()
            }
            Err(error) => return self.problems.push(unreadable(error)),
        };
        let entries = match fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => return self.problems.push(unreadable(error)),
        };
        let before = self.files.len();
        for entry in entries {
            if is_for_revoked(&entry) {
                continue;
            }
            match kind_in_directory(&entry) {
                Ok(kind) => self.files.push(File { path: entry.path(), kind, order, directory_owner: Some(owner) }),
                Err((code, text)) => self.problems.push(Problem::warning((&entry.path(), order), code, text)),
            }
        }
        let found = &mut self.files[before..];
        found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        if !found.iter().any(|file| file.kind == Kind::Public) {
            let text = "no file is named NAME.key: a server that reads this directory accepts nobody; put the clients' public \
                        certificates here";
            self.problems.push(Problem::warning(place, "no-certificates", text));
        }
    }
}

/// The canonical path of a file, or the path as it is if the file doesn't exist.
fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The kind of file by its name.
fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.as_bytes();
    if name.ends_with(b".key") {
        Some(Kind::Public)
    } else if name.ends_with(b".key_secret") {
        Some(Kind::Secret)
    } else if name.ends_with(b".toml") {
        Some(Kind::Policy)
    } else {
        None
    }
}

/// Whether this is the subdirectory for revoked certificates, which servers aren't meant to read.
fn is_for_revoked(entry: &DirEntry) -> bool {
    entry.file_name() == REVOKED && entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// The kind of a file to check, or the code and text of the problem that a server doesn't read this name.
fn kind_in_directory(entry: &DirEntry) -> Result<Kind, (&'static str, &'static str)> {
    let name = entry.file_name();
    let name = name.as_bytes();
    if name.starts_with(b".") {
        return Err(("hidden", "hidden files are not read; rename it to NAME.key, or remove it"));
    }
    if let Some(kind @ (Kind::Public | Kind::Secret)) = kind(&entry.path()) {
        return Ok(kind);
    }
    if entry.path().is_dir() {
        return Err(("subdirectory", "subdirectories are not read; move its certificates up, or lint it by itself"));
    }
    if name.ends_with(b".pub") || name.ends_with(b".public") {
        return Err(("other-name", "only files named NAME.key are read, not .pub; rename it to NAME.key"));
    }
    Err(("other-name", "only files named NAME.key are read; rename it to NAME.key, or move it away"))
}
