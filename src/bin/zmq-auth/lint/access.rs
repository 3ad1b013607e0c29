//! The check of modes and owners: who else may read a secret, or change what a server trusts.

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

/// Checks a file. If it `is_secret`, only its owner may have access.
pub(super) fn of_file(file: &File, metadata: &Metadata, is_secret: bool) -> Vec<Problem> {
    let mode = metadata.permissions().mode() & 0o777;
    let mut problems = Vec::new();
    if is_secret && mode & OTHERS_ACCESS != 0 {
        let text =
            format!("users other than its owner have access to this secret (mode {mode:03o}); run: chmod 600 FILE");
        problems.push(Problem::error(file.place(), "loose-mode", text));
    } else if mode & OTHERS_WRITE != 0 {
        let text = format!("users other than its owner can change it (mode {mode:03o}); run: chmod go-w FILE");
        problems.push(Problem::error(file.place(), "loose-mode", text));
    }
    problems.extend(of_owner(file.place(), metadata.uid(), file.directory_owner));
    problems
}

/// Checks the directory of a file that was given by itself. A sticky one (`/tmp`) is good enough: nobody else can
/// replace the file there.
pub(super) fn of_parent(file: &File) -> Vec<Problem> {
    let directory = file.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // If this fails, the file itself can't be opened, which is reported anyway.
    let metadata = fs::metadata(directory);
    metadata.map(|metadata| of_directory((directory, file.order), &metadata, true)).unwrap_or_default()
}

/// Checks a directory.
pub(super) fn of_directory(place: (&Path, usize), metadata: &Metadata, sticky_is_enough: bool) -> Vec<Problem> {
    let mode = metadata.permissions().mode() & 0o7777;
    let mut problems = Vec::new();
    if mode & OTHERS_WRITE != 0 && !(sticky_is_enough && mode & STICKY != 0) {
        let text = format!(
            "users other than its owner can add, replace and remove files (mode {mode:03o}); run: chmod go-w DIRECTORY"
        );
        problems.push(Problem::error(place, "loose-mode", text));
    }
    problems.extend(of_owner(place, metadata.uid(), None));
    problems
}

/// Checks the owner, who can change a file and its mode: root, the current user, or the directory's owner is expected.
fn of_owner(place: (&Path, usize), owner: u32, directory_owner: Option<u32>) -> Option<Problem> {
    if owner == 0 || owner == geteuid().as_raw() || Some(owner) == directory_owner {
        return None;
    }
    // Root may be checking any service's files, so the owner alone isn't suspicious.
    if geteuid().is_root() && directory_owner.is_none() {
        return None;
    }
    let name =
        User::from_uid(Uid::from_raw(owner)).ok().flatten().map(|user| format!(" ({})", escape::text(&user.name)));
    let text = format!(
        "it belongs to user {owner}{}, who can change it; if that is not intended, run chown",
        name.unwrap_or_default()
    );
    Some(Problem::warning(place, "other-owner", text))
}
