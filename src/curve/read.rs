//! Reading of many certificates, on several threads if that is worthwhile.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::listing::{ListedFile, Names};
use crate::certificate::{Concerns, Ending, KeyInfo, Reader};
use crate::error::Error;
use crate::keys::PublicKey;
use crate::reload::{Stamp, Stamper, Unread};

/// The number of files for which another thread is started.
const FILES_PER_THREAD: usize = 2_000;
const MAX_THREADS: usize = 8;

/// The result of reading one file.
pub(super) enum ReadResult {
    Loaded {
        stamp: Stamp,
        key: PublicKey,
        info: Option<Arc<KeyInfo>>,
        concerns: Concerns,
        /// Possibly half of a file that is being written.
        may_be_half: bool,
    },
    /// Removed since it was listed.
    Gone,
    Failed {
        stamp: Stamp,
        error: Error,
        unread: Unread,
    },
}

impl ReadResult {
    /// For a file whose whole directory has vanished: it stays as it was before.
    pub(super) fn gone_with(&mut self, directory: &Path) {
        if matches!(self, ReadResult::Gone) {
            let source =
                io::Error::new(io::ErrorKind::NotFound, "the directory was moved or replaced while it was read");
            let error = Error::Io { path: directory.to_owned(), action: "read", source };
            *self = ReadResult::Failed { stamp: Stamp::NONE, error, unread: Unread::Something };
        }
    }
}

/// Reads the files; the results are in their order.
pub(super) fn read(directory: &Path, names: &Names, files: &[ListedFile], stamper: &Stamper) -> Vec<ReadResult> {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let threads = (files.len() / FILES_PER_THREAD).clamp(1, cores);
    let part = files.len().div_ceil(threads).max(1);
    let read_part = |files: &[ListedFile]| read_one_by_one(directory, names, files, stamper);
    if threads == 1 {
        return read_part(files);
    }
    thread::scope(|scope| {
        let started: Vec<_> = files
            .chunks(part)
            .map(|part| {
                let name = "zmq-auth-load".into();
                (part, thread::Builder::new().name(name).spawn_scoped(scope, move || read_part(part)))
            })
            .collect();
        let mut outcomes = Vec::with_capacity(files.len());
        for (part, thread) in started {
            // Without a thread, or if it died, read here.
            let read = thread.ok().and_then(|thread| thread.join().ok());
            outcomes.extend(read.unwrap_or_else(|| read_part(part)));
        }
        outcomes
    })
}

fn read_one_by_one(directory: &Path, names: &Names, files: &[ListedFile], stamper: &Stamper) -> Vec<ReadResult> {
    if files.is_empty() {
        return Vec::new();
    }
    let mut reader = Reader::default();
    let mut path = directory.join("name");
    let read = |file: &ListedFile| {
        path.set_file_name(names.file_name(file.name));
        read_file(&mut reader, &path, file, stamper)
    };
    files.iter().map(read).collect()
}

fn read_file(reader: &mut Reader, path: &Path, file: &ListedFile, stamper: &Stamper) -> ReadResult {
    let loaded = reader.load(path, file.is_file);
    let stamp = loaded.metadata.as_ref().map_or(Stamp::NONE, |metadata| stamper.stamp(metadata));
    let certificate = match loaded.certificate {
        Ok(certificate) => certificate,
        // A dangling link isn't gone: it is broken.
        Err(Error::Io { action: "open", source, .. }) if source.kind() == io::ErrorKind::NotFound && !file.is_link => {
            return ReadResult::Gone;
        }
        // It stays broken until somebody repairs it, which its stat will show.
        Err(error @ Error::Io { .. }) if is_broken_link(file, &error) => {
            return ReadResult::Failed { stamp: Stamp::NONE, error, unread: Unread::Nothing };
        }
        // The system's answer may be different next time.
        Err(error @ Error::Io { .. }) => {
            let unread = Unread::of(&error);
            return ReadResult::Failed { stamp: Stamp::NONE, error, unread };
        }
        Err(error) if loaded.ending == Ending::Changing => {
            return ReadResult::Failed { stamp: Stamp::NONE, error, unread: Unread::Something };
        }
        Err(error) => return ReadResult::Failed { stamp, error, unread: Unread::Nothing },
    };
    let may_be_half = loaded.ending == Ending::NoLineFeed
        && loaded.metadata.as_ref().is_some_and(|metadata| stamper.is_fresh(metadata));
    let concerns = loaded.metadata.as_ref().map(|metadata| Concerns::of(metadata, &certificate)).unwrap_or_default();
    match KeyInfo::of(certificate.metadata()) {
        Ok(info) => ReadResult::Loaded { stamp, key: certificate.public_key(), info, concerns, may_be_half },
        Err(problem) => {
            let error = Error::Certificate { path: path.to_owned(), line: None, problem };
            ReadResult::Failed { stamp, error, unread: Unread::Nothing }
        }
    }
}

fn is_broken_link(file: &ListedFile, error: &Error) -> bool {
    file.is_link && matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
