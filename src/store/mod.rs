//! Sources of keys and passwords that follow the disk: what is read again is decided by stat, what has changed by content.
//!
//! A directory: `listing` (names and stamps) -> `reading` (files to certificates) -> `files` (what each file says, and what
//! changed) -> `keys` (the table that is decided by). A password file: `lines` -> the table in `policy::plain`.

mod directory;
mod files;
mod keys;
mod lines;
mod listing;
mod password_file;
mod phc;
mod reading;
mod report;
mod stamp;
mod status;
#[cfg(feature = "argon2")]
mod verify;
#[cfg(feature = "watch")]
mod watch;

pub use directory::KeyDirectory;
pub(crate) use keys::{KeyInfo, Keys, load_keys};
pub(crate) use password_file::Checked;
pub use password_file::PasswordFile;
#[cfg(feature = "argon2")]
pub(crate) use phc::{Cost, Phc};
pub(crate) use report::{ReloadEvent, ReloadObserver};
pub use status::{Reload, StoreProblem, StoreStatus};
#[cfg(feature = "argon2")]
pub(crate) use verify::{Verified, verify};
