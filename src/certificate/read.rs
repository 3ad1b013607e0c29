//! Reading of certificate files.

use std::fs::{File, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

use super::parse::{errors, parse};
use super::{Certificate, MAX_FILE};
use crate::error::{Error, Result};
use crate::regular_file;

/// Loads a file, and warns if its mode or its key pair is wrong.
pub(super) fn load(path: &Path) -> Result<Certificate> {
    let (file, metadata) = open(path, false)?;
    let mut reader = Reader::default();
    let content = reader.content(&file, path, &metadata, &mut Ending::LineFeed)?;
    let certificate = parse(content).map_err(|error| error.in_file(path))?;
    Concerns::of(&metadata, &certificate).without(Concerns::SECRET).warn(path);
    Ok(certificate)
}

/// Parses a file's content; errors call it `path`.
pub(super) fn parse_content(content: &[u8], path: &Path) -> Result<Certificate> {
    if content.len() > MAX_FILE {
        return Err(refused(path, TOO_LARGE));
    }
    parse(content).map_err(|error| error.in_file(path))
}

/// Every error of a file, in the order of its lines; the first is that of [`load`].
pub(super) fn problems(path: &Path) -> Vec<Error> {
    let of_content = |(file, metadata): (File, Metadata)| -> Result<Vec<Error>> {
        let mut reader = Reader::default();
        let content = reader.content(&file, path, &metadata, &mut Ending::LineFeed)?;
        Ok(errors(content).into_iter().map(|error| error.in_file(path)).collect())
    };
    open(path, false).and_then(of_content).unwrap_or_else(|error| vec![error])
}

/// The result of loading a file.
pub(crate) struct Loaded {
    /// The file's metadata just before its content was read, if it could be opened.
    pub(crate) metadata: Option<Metadata>,
    pub(crate) certificate: Result<Certificate>,
    pub(crate) ending: Ending,
}

/// How a file's content ends, which shows whether it is still being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    LineFeed,
    /// Possibly half of it, if it was changed just now.
    NoLineFeed,
    /// It was changed while it was read.
    Changing,
}

const TOO_LARGE: &str = "is larger than 64 KiB, the limit for a certificate";

/// Problems of a certificate that can still be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Concerns {
    flags: u8,
    mode: u32,
}

impl Concerns {
    /// It has a secret key.
    pub(crate) const SECRET: u8 = 1;
    const READABLE: u8 = 2;
    const WRITABLE: u8 = 4;
    const MISMATCH: u8 = 8;

    pub(crate) fn of(metadata: &Metadata, certificate: &Certificate) -> Self {
        let mode = metadata.permissions().mode() & 0o777;
        let mut flags = if mode & 0o022 != 0 { Self::WRITABLE } else { 0 };
        if let Some(pair) = certificate.key_pair() {
            flags = Self::SECRET;
            if mode & 0o077 != 0 {
                flags |= Self::READABLE;
            }
            if matches!(pair.check(), Err(Error::KeyMismatch)) {
                flags |= Self::MISMATCH;
            }
        }
        Concerns { flags, mode }
    }

    pub(crate) fn flags(self) -> u8 {
        self.flags
    }

    pub(crate) fn without(self, flags: u8) -> Self {
        Concerns { flags: self.flags & !flags, ..self }
    }

    pub(crate) fn warn(self, path: &Path) {
        let has = |flag| self.flags & flag != 0;
        let mode = self.mode;
        if has(Self::SECRET) {
            log_warn!(
                "{path:?} contains a secret key: a directory of clients must have public keys only. Move it away, and give \
                 its owner a new key pair"
            );
        }
        if has(Self::READABLE) {
            log_warn!(
                "{path:?} contains a secret key, and users other than its owner have access (mode {mode:03o}): chmod 600"
            );
        }
        if has(Self::WRITABLE) {
            log_warn!("{path:?}: users other than its owner can change it (mode {mode:03o}): chmod go-w");
        }
        if has(Self::MISMATCH) {
            log_warn!("{path:?}: the public and the secret key are not a pair; no handshake can succeed with them");
        }
    }
}

/// Loads files one after the other into one buffer, which is wiped at the end. If a file doesn't fit, a new buffer is
/// allocated: one that grows would leave parts of a secret behind.
///
/// It is no larger than necessary, because wiping 64 KiB takes longer than reading a certificate.
#[derive(Default)]
pub(crate) struct Reader(Zeroizing<Vec<u8>>);

impl Reader {
    /// Loads a file. `is_file` says that it was a regular file a moment ago.
    pub(crate) fn load(&mut self, path: &Path, is_file: bool) -> Loaded {
        match open(path, is_file) {
            Ok((file, metadata)) => {
                let mut ending = Ending::LineFeed;
                let content = self.content(&file, path, &metadata, &mut ending);
                let certificate = content.and_then(|content| parse(content).map_err(|error| error.in_file(path)));
                Loaded { metadata: Some(metadata), certificate, ending }
            }
            Err(error) => Loaded { metadata: None, certificate: Err(error), ending: Ending::LineFeed },
        }
    }

    fn content(&mut self, file: &File, path: &Path, metadata: &Metadata, ending: &mut Ending) -> Result<&[u8]> {
        let failed = |source| Error::Io { path: path.to_owned(), action: "read", source };
        let size = usize::try_from(metadata.len()).unwrap_or(MAX_FILE).min(MAX_FILE);
        // One byte more, to detect a file that is larger than its metadata said.
        if self.0.len() <= size {
            self.0 = Zeroizing::new(vec![0; (size + 1).next_power_of_two().clamp(4 * 1024, MAX_FILE + 1)]);
        }
        let length = regular_file::fill(file, &mut self.0, metadata.len()).map_err(failed)?;
        if !regular_file::is_unchanged(file, metadata).map_err(failed)? {
            *ending = Ending::Changing;
            return Err(refused(path, "was changed while it was read"));
        }
        if self.0.get(..length).is_some_and(|content| !content.ends_with(b"\n")) {
            *ending = Ending::NoLineFeed;
        }
        if length > MAX_FILE {
            return Err(refused(path, TOO_LARGE));
        }
        // The buffer is full: there may be more.
        if length == self.0.len() {
            *ending = Ending::Changing;
            return Err(refused(path, "was changed while it was read"));
        }
        Ok(&self.0[..length])
    }
}

fn open(path: &Path, is_file: bool) -> Result<(File, Metadata)> {
    regular_file::open(path, is_file)
        .map_err(|source| Error::Io { path: path.to_owned(), action: "open", source })?
        .ok_or_else(|| refused(path, "is not a regular file"))
}

fn refused(path: &Path, problem: &'static str) -> Error {
    Error::Certificate { path: path.to_owned(), line: None, problem }
}
