//! Where a certificate is written, and with which mode.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A file to be, and the mode that it is created with. The umask is taken off that, as for every file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: PathBuf,
    pub(super) mode: u32,
}

impl Target {
    /// Readable by whom the umask lets.
    pub(super) fn public(path: &Path) -> Self {
        Target { path: path.to_owned(), mode: 0o666 }
    }

    /// Readable by the owner alone.
    pub(super) fn secret(path: &Path) -> Self {
        Target { path: path.to_owned(), mode: 0o600 }
    }

    /// The directory that holds it.
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
        Some("starts with a dot: loading a directory leaves hidden files out")
    } else if name.contains(['/', '\\']) {
        Some("has a separator: give the directory apart from the name")
    } else if name.contains(char::is_control) {
        Some("has a control character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
