//! Modes and owners: who else may read a secret, or change what a server trusts.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Uid, User, geteuid};

use super::paths::File;
use super::problem::Problem;
use crate::escape;

const OTHERS_WRITE: u32 = 0o022;
const OTHERS_ACCESS: u32 = 0o077;
const STICKY: u32 = 0o1000;

/// Of a file; one that `is_secret` is for its owner alone.
pub(super) fn of_file(file: &File, metadata: &Metadata, is_secret: bool) -> Vec<Problem> {
    let mode = metadata.permissions().mode() & 0o777;
    let mut problems = Vec::new();
    if is_secret && mode & OTHERS_ACCESS != 0 {
        let text = format!("others than its owner have access to this secret (mode {mode:03o}); run: chmod 600 FILE");
        problems.push(Problem::error(file.place(), "loose-mode", text));
    } else if mode & OTHERS_WRITE != 0 {
        let text = format!("others than its owner may change it (mode {mode:03o}); run: chmod go-w FILE");
        problems.push(Problem::error(file.place(), "loose-mode", text));
    }
    problems.extend(of_owner(file.place(), metadata.uid(), file.directory_owner));
    problems
}

/// Of the directory that a file is in, which was given by itself. A sticky one (`/tmp`) is good enough, for nobody else can
/// replace the file there.
pub(super) fn of_parent(file: &File) -> Vec<Problem> {
    let directory = file.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Where there is none, the file itself can't be opened.
    let metadata = fs::metadata(directory);
    metadata.map(|metadata| of_directory((directory, file.order), &metadata, true)).unwrap_or_default()
}

/// Of a directory.
pub(super) fn of_directory(place: (&Path, usize), metadata: &Metadata, sticky_is_enough: bool) -> Vec<Problem> {
    let mode = metadata.permissions().mode() & 0o7777;
    let mut problems = Vec::new();
    if mode & OTHERS_WRITE != 0 && !(sticky_is_enough && mode & STICKY != 0) {
        let text = format!(
            "others than its owner may add, replace and remove files (mode {mode:03o}); run: chmod go-w DIRECTORY"
        );
        problems.push(Problem::error(place, "loose-mode", text));
    }
    problems.extend(of_owner(place, metadata.uid(), None));
    problems
}

/// An owner may change a file and its mode. Expected are root, the user who asks, and who owns the directory.
fn of_owner(place: (&Path, usize), owner: u32, directory_owner: Option<u32>) -> Option<Problem> {
    if owner == 0 || owner == geteuid().as_raw() || Some(owner) == directory_owner {
        return None;
    }
    // Root looks at the files of every service: their owner alone says nothing.
    if geteuid().is_root() && directory_owner.is_none() {
        return None;
    }
    let name =
        User::from_uid(Uid::from_raw(owner)).ok().flatten().map(|user| format!(" ({})", escape::text(&user.name)));
    let text = format!(
        "it belongs to user {owner}{}, who may change it; if that is not intended, run chown",
        name.unwrap_or_default()
    );
    Some(Problem::warning(place, "other-owner", text))
}
