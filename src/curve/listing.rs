//! The listing of a directory's `*.key` files, with their stamps, in the order of their names.

use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::reload::{Stamp, Stamper};

/// The names of many files in one block of memory, each preceded by its length in two bytes.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<u8>);

/// The position of a name in [`Names`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Name(u32);

impl Names {
    /// `None` if the block would exceed 4 GiB.
    fn push(&mut self, name: &[u8]) -> Option<Name> {
        let place = Name(self.0.len().try_into().ok()?);
        let length = u16::try_from(name.len()).ok()?;
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(name);
        Some(place)
    }

    pub(super) fn get(&self, name: Name) -> &[u8] {
        let Some((length, rest)) = self.0.get(name.0 as usize..).and_then(<[u8]>::split_first_chunk) else {
            return &[];
        };
        rest.get(..usize::from(u16::from_le_bytes(*length))).unwrap_or_default()
    }

    pub(super) fn file_name(&self, name: Name) -> &OsStr {
        OsStr::from_bytes(self.get(name))
    }
}

#[derive(Debug)]
pub(super) struct Listing {
    pub(super) names: Names,
    pub(super) files: Vec<ListedFile>,
    /// The number of other files, without hidden ones.
    pub(super) others: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ListedFile {
    pub(super) name: Name,
    pub(super) stamp: Stamp,
    pub(super) is_link: bool,
    /// A regular file, or a link to one; `false` if unknown.
    pub(super) is_file: bool,
}

impl Listing {
    /// Lists the directory; `stats` says whether to take stamps.
    pub(super) fn read(directory: &Path, stamper: &Stamper, stats: bool) -> io::Result<Self> {
        let mut listing = Listing { names: Names::default(), files: Vec::new(), others: 0 };
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let bytes = name.as_bytes();
            if !bytes.ends_with(b".key") || bytes.starts_with(b".") {
                let is_file = !bytes.starts_with(b".") && entry.file_type().is_ok_and(|kind| !kind.is_dir());
                listing.others += usize::from(is_file);
                continue;
            }
            let Some((stamp, is_link, is_file)) = look(&entry, stamper, stats)? else { continue };
            let too_many = || io::Error::other("more than 4 GiB of file names");
            let name = listing.names.push(bytes).ok_or_else(too_many)?;
            listing.files.push(ListedFile { name, stamp, is_link, is_file });
        }
        let Listing { names, files, .. } = &mut listing;
        names.0.shrink_to_fit();
        files.sort_unstable_by(|a, b| names.get(a.name).cmp(names.get(b.name)));
        Ok(listing)
    }
}

/// `None` for a file that was removed since the directory was listed. A link is followed; a dangling link is a file that
/// can't be read.
fn look(entry: &DirEntry, stamper: &Stamper, stats: bool) -> io::Result<Option<(Stamp, bool, bool)>> {
    let kind = entry.file_type()?;
    if kind.is_file() && !stats {
        return Ok(Some((Stamp::NONE, false, true)));
    }
    let metadata = if kind.is_symlink() { fs::metadata(entry.path()) } else { entry.metadata() };
    match metadata {
        Ok(metadata) => Ok(Some((stamper.stamp(&metadata), kind.is_symlink(), metadata.is_file()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !kind.is_symlink() => Ok(None),
        // Reported when the file is read.
        Err(_) => Ok(Some((Stamp::NONE, kind.is_symlink(), false))),
    }
}
