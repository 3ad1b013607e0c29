//! Atomic writing of certificate files: to a temporary file in the same directory, synced, then renamed.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, Result};

/// A file to write, and its mode at creation. The umask is subtracted, as for every file; only the owner may ever write
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
}

impl Target {
    /// Readable by everybody whom the umask allows.
    pub(super) fn public(path: &Path) -> Self {
        Target { path: path.to_owned(), mode: 0o644 }
    }

    /// Readable by the owner only.
    pub(super) fn secret(path: &Path) -> Self {
        Target { path: path.to_owned(), mode: 0o600 }
    }

    /// The directory that contains it.
    pub(super) fn dir(&self) -> &Path {
        match self.path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        }
    }
}

/// `NAME.key` and `NAME.key_secret`, always directly in `dir`.
pub(super) fn pair(dir: &Path, name: &str) -> Result<(Target, Target)> {
    if let Some(problem) = problem(name) {
        return Err(Error::CertificateName { name: name.to_owned(), problem });
    }
    let public = Target::public(&dir.join(format!("{name}.key")));
    let secret = Target::secret(&dir.join(format!("{name}.key_secret")));
    Ok((public, secret))
}

fn problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.starts_with('.') {
        Some("starts with a dot: loading a directory ignores hidden files")
    } else if name.contains(['/', '\\']) {
        Some("contains a path separator: give the directory separately")
    } else if name.contains(char::is_control) {
        Some("has a control character")
    } else {
        None
    }
}

/// Writes the secret file and then the public one.
pub(super) type WritePair = fn(secret: (&Target, &[u8]), public: (&Target, &[u8])) -> Result<()>;

/// Creates one file; fails if it exists.
pub(super) fn create(target: &Target, bytes: &[u8]) -> Result<()> {
    refuse_existing(&target.path)?;
    place(target, bytes)
}

/// Creates both files, or neither.
pub(super) fn create_pair(secret: (&Target, &[u8]), public: (&Target, &[u8])) -> Result<()> {
    refuse_existing(&secret.0.path)?;
    refuse_existing(&public.0.path)?;
    place_pair(secret, public)
}

/// Replaces both files, or neither; a missing one is created.
pub(super) fn replace_pair(secret: (&Target, &[u8]), public: (&Target, &[u8])) -> Result<()> {
    let (secret, secret_bytes) = secret;
    let (public, public_bytes) = public;
    let secret_file = prepare(secret, secret_bytes)?;
    let public_file = prepare(public, public_bytes)?;

    // A second name for the old file, removed when this is dropped.
    let old = Builder::new().make_in(secret.dir(), |name| fs::hard_link(&secret.path, name));
    secret_file.persist(&secret.path).map_err(|error| failed(secret, error.error))?;
    if let Err(error) = public_file.persist(&public.path) {
        match old {
            Ok(old) => drop(old.persist(&secret.path)),
            Err(none) if none.kind() == io::ErrorKind::NotFound => drop(fs::remove_file(&secret.path)),
            // No hard links on this file system: nothing can be restored, and the new file is better than none.
            Err(_) => {}
        }
        return Err(failed(public, error.error));
    }
    sync_dir(secret);
    Ok(())
}

fn place(target: &Target, bytes: &[u8]) -> Result<()> {
    prepare(target, bytes)?.persist_noclobber(&target.path).map_err(|error| failed(target, error.error))?;
    sync_dir(target);
    Ok(())
}

fn place_pair(secret: (&Target, &[u8]), public: (&Target, &[u8])) -> Result<()> {
    let (secret, secret_bytes) = secret;
    let (public, public_bytes) = public;
    let secret_file = prepare(secret, secret_bytes)?;
    let public_file = prepare(public, public_bytes)?;

    secret_file.persist_noclobber(&secret.path).map_err(|error| failed(secret, error.error))?;
    if let Err(error) = public_file.persist_noclobber(&public.path) {
        // We created it just now: only the public file's name is taken.
        let _ = fs::remove_file(&secret.path);
        return Err(failed(public, error.error));
    }
    sync_dir(secret);
    Ok(())
}

/// Writes the whole content to disk, with its mode since creation, under a hidden name that `*.key` doesn't match. Removed
/// when dropped.
fn prepare(target: &Target, bytes: &[u8]) -> Result<NamedTempFile> {
    if target.path.file_name().is_none() {
        let name = target.path.display().to_string();
        return Err(Error::CertificateName { name, problem: "is the name of a directory" });
    }
    let write = || {
        let mut file = Builder::new().permissions(Permissions::from_mode(target.mode)).tempfile_in(target.dir())?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|source| failed(target, source))
}

/// Avoids writing anything when that is bound to fail. The rename makes the final check.
fn refuse_existing(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(Error::Exists { path: path.to_owned() }),
        // Writing will meet any other error too, and report it better.
        Err(_) => Ok(()),
    }
}

/// Makes the new names survive a power failure. Not every file system supports it, nor can every directory be opened; the
/// files themselves are complete either way.
fn sync_dir(target: &Target) {
    let _ = File::open(target.dir()).and_then(|dir| dir.sync_all());
}

fn failed(target: &Target, source: io::Error) -> Error {
    let path = target.path.clone();
    match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path },
        _ => Error::Io { path, action: "write", source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn targets(dir: &Path) -> (Target, Target) {
        (Target::secret(&dir.join("a.key_secret")), Target::public(&dir.join("a.key")))
    }

    #[test]
    fn a_secret_file_has_its_mode_before_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, _) = targets(dir.path());
        let file = prepare(&secret, b"").unwrap();
        assert_eq!(mode(file.path()), 0o600);
        assert!(names(dir.path())[0].starts_with('.'));
        drop(file);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_file_created_meanwhile_is_not_overwritten_and_nothing_else_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = targets(dir.path());
        for target in [&secret, &public] {
            // Created after the first check of `create` and `create_pair`.
            fs::write(&target.path, "theirs").unwrap();
            for result in [place(target, b"new"), place_pair((&secret, b"new"), (&public, b"new"))] {
                assert!(matches!(result, Err(Error::Exists { path }) if path == target.path));
                assert_eq!(fs::read_to_string(&target.path).unwrap(), "theirs");
                assert_eq!(names(dir.path()).len(), 1);
            }
            fs::remove_file(&target.path).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", &secret.path).unwrap();
        assert!(matches!(refuse_existing(&secret.path), Err(Error::Exists { .. })));
    }

    #[test]
    fn a_pair_that_cannot_be_replaced_as_a_whole_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = targets(dir.path());
        // A directory at the public file's name: its rename fails after that of the secret file.
        fs::create_dir(&public.path).unwrap();
        assert!(matches!(replace_pair((&secret, b"new"), (&public, b"new")), Err(Error::Io { .. })));
        assert_eq!(names(dir.path()), ["a.key"]);

        fs::write(&secret.path, "old").unwrap();
        assert!(matches!(replace_pair((&secret, b"new"), (&public, b"new")), Err(Error::Io { .. })));
        assert_eq!(fs::read_to_string(&secret.path).unwrap(), "old");
        assert_eq!(names(dir.path()), ["a.key", "a.key_secret"]);
    }

    #[test]
    fn a_symbolic_link_is_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (secret, public) = targets(dir.path());
        let theirs = dir.path().join("theirs");
        for link_to in [theirs.clone(), dir.path().join("nowhere")] {
            fs::write(&theirs, "theirs").unwrap();
            std::os::unix::fs::symlink(&link_to, &secret.path).unwrap();
            assert!(matches!(create(&secret, b"new"), Err(Error::Exists { .. })));
            assert!(matches!(create_pair((&secret, b"new"), (&public, b"new")), Err(Error::Exists { .. })));
            replace_pair((&secret, b"new"), (&public, b"new")).unwrap();
            assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
            assert!(fs::symlink_metadata(&secret.path).unwrap().is_file());
            assert_eq!(names(dir.path()), ["a.key", "a.key_secret", "theirs"]);
            fs::remove_file(&secret.path).unwrap();
            fs::remove_file(&public.path).unwrap();
        }
    }

    #[test]
    fn names_that_would_leave_the_directory_or_be_hidden_are_refused() {
        for name in ["", ".", "..", ".hidden", "../up", "a/b", "/etc/passwd", "a\\b", "a\0b", "a\nb", "a\u{7f}"] {
            assert!(matches!(pair(Path::new("dir"), name), Err(Error::CertificateName { .. })), "{name:?}");
        }
    }

    #[test]
    fn both_files_are_in_the_directory() {
        for name in ["server", "my server", "v1.2", "ключ", "-x", "a..b", "x.key"] {
            let (public, secret) = pair(Path::new("dir"), name).unwrap();
            assert_eq!(public.path, Path::new("dir").join(format!("{name}.key")));
            assert_eq!(secret.path, Path::new("dir").join(format!("{name}.key_secret")));
            assert_eq!((public.dir(), secret.mode & 0o077), (Path::new("dir"), 0));
        }
        assert_eq!(Target::public(Path::new("file")).dir(), Path::new("."));
    }
}
