//! The key directories and password files that a policy file names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
#[cfg(feature = "nats")]
use std::sync::Arc;

use crate::curve::KeyDirectory;
use crate::error::Result;
#[cfg(feature = "nats")]
use crate::nats::NatsFollower;
use crate::plain::PasswordFile;
use crate::reload::StoreStatus;

/// Each store once, by its path, however many domains use it.
#[derive(Default, Clone)]
pub(super) struct Stores {
    directories: BTreeMap<PathBuf, KeyDirectory>,
    files: BTreeMap<PathBuf, PasswordFile>,
    /// By everything that the file says about them.
    #[cfg(feature = "nats")]
    followers: BTreeMap<String, Arc<NatsFollower>>,
}

impl Stores {
    /// The directory; if `known` has it, the same store.
    pub(super) fn key_directory(&mut self, path: &Path, known: &Stores) -> Result<KeyDirectory> {
        find_or_open(&mut self.directories, &known.directories, path, KeyDirectory::open)
    }

    /// The password file; if `known` has it, the same store.
    pub(super) fn password_file(&mut self, path: &Path, known: &Stores) -> Result<PasswordFile> {
        find_or_open(&mut self.files, &known.files, path, PasswordFile::open)
    }

    /// The follower with this description; if `known` has it, the same one.
    #[cfg(feature = "nats")]
    pub(super) fn follower(
        &mut self,
        description: String,
        known: &Stores,
        follow: impl FnOnce() -> Result<NatsFollower>,
    ) -> Result<Arc<NatsFollower>> {
        let found = self.followers.get(&description).or_else(|| known.followers.get(&description)).cloned();
        let follower = found.map_or_else(|| follow().map(Arc::new), Ok)?;
        self.followers.insert(description, follower.clone());
        Ok(follower)
    }

    /// Reloads all of them, and returns the first error. What could not be read stays as it was.
    pub(super) fn reload(&self) -> Result<()> {
        let directories = self.directories.values().map(|directory| directory.reload().map(drop));
        let files = self.files.values().map(|file| file.reload().map(drop));
        let reloads: Vec<Result<()>> = directories.chain(files).collect();
        reloads.into_iter().collect()
    }

    /// Makes each follow the disk from now on.
    #[cfg(feature = "watch")]
    pub(super) fn watch(&self) -> Result<()> {
        self.directories.values().try_for_each(KeyDirectory::watch)?;
        self.files.values().try_for_each(PasswordFile::watch)
    }

    pub(super) fn statuses(&self) -> Vec<(PathBuf, StoreStatus)> {
        let directories = self.directories.iter().map(|(path, directory)| (path.clone(), directory.status()));
        let files = self.files.iter().map(|(path, file)| (path.clone(), file.status()));
        #[cfg(feature = "nats")]
        let files = files.chain(self.followers.values().map(|follower| follower.store_status()));
        directories.chain(files).collect()
    }
}

fn find_or_open<S: Clone>(
    used: &mut BTreeMap<PathBuf, S>,
    known: &BTreeMap<PathBuf, S>,
    path: &Path,
    open: fn(PathBuf) -> Result<S>,
) -> Result<S> {
    let found = used.get(path).or_else(|| known.get(path)).cloned();
    let store = found.map_or_else(|| open(path.to_owned()), Ok)?;
    used.insert(path.to_owned(), store.clone());
    Ok(store)
}
