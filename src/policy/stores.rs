//! The key directories, password files and buckets that a policy file names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
#[cfg(feature = "nats")]
use std::{sync::Arc, time::Duration};

use crate::curve::KeyDirectory;
use crate::error::Result;
use crate::plain::PasswordFile;
use crate::reload::StoreStatus;
#[cfg(feature = "nats")]
use crate::{contact::OnStale, escape::Escaped, nats::NatsFollower, pushed::PushedCredentials};

/// The stores by their paths: each once, even if several domains use it.
#[derive(Default, Clone)]
pub(super) struct Stores {
    directories: BTreeMap<PathBuf, KeyDirectory>,
    files: BTreeMap<PathBuf, PasswordFile>,
    #[cfg(feature = "nats")]
    followers: BTreeMap<FollowedFor, Followed>,
}

/// A cluster's name in the file, a bucket, and a domain.
#[cfg(feature = "nats")]
pub(super) type FollowedFor = (String, String, String);

/// A follower and its settings in the file.
#[cfg(feature = "nats")]
#[derive(Clone)]
pub(super) struct Followed {
    pub(super) follower: Arc<NatsFollower>,
    /// If this changes, a new follower takes over.
    pub(super) connection: String,
    pub(super) max_age: Duration,
    pub(super) on_stale: OnStale,
}

impl Stores {
    /// Returns the directory, from `known` if it is there.
    pub(super) fn key_directory(&mut self, path: &Path, known: &Stores) -> Result<KeyDirectory> {
        find_or_open(&mut self.directories, &known.directories, path, KeyDirectory::open)
    }

    /// Returns the password file, from `known` if it is there.
    pub(super) fn password_file(&mut self, path: &Path, known: &Stores) -> Result<PasswordFile> {
        find_or_open(&mut self.files, &known.files, path, PasswordFile::open)
    }

    /// Returns the follower, from `known` if it is there with the same connection. A new one is idle until
    /// [`follow`](Self::follow), and takes over the credentials of the one that it replaces.
    #[cfg(feature = "nats")]
    pub(super) fn follower(
        &mut self,
        place: FollowedFor,
        known: &Stores,
        connection: String,
        ready: impl FnOnce(Option<PushedCredentials>) -> Result<NatsFollower>,
        limits: impl FnOnce(&NatsFollower) -> Result<(Duration, OnStale)>,
    ) -> Result<Arc<NatsFollower>> {
        if let Some(used) = self.followers.get(&place) {
            return Ok(used.follower.clone());
        }
        let before = known.followers.get(&place);
        let follower = match before {
            Some(before) if before.connection == connection => before.follower.clone(),
            _ => Arc::new(ready(before.map(|before| before.follower.credentials().clone()))?),
        };
        let (max_age, on_stale) = limits(&follower)?;
        self.followers.insert(place, Followed { follower: follower.clone(), connection, max_age, on_stale });
        Ok(follower)
    }

    /// Starts these followers, and stops those of `before` that aren't among them.
    #[cfg(feature = "nats")]
    pub(super) fn follow(&self, before: &Stores) {
        for Followed { follower, .. } in before.followers.values() {
            if !self.followers.values().any(|now| Arc::ptr_eq(&now.follower, follower)) {
                follower.stop();
            }
        }
        for Followed { follower, max_age, on_stale, .. } in self.followers.values() {
            // The shortest age depends on the interval of the follower's heartbeats.
            let limited = follower.start().and_then(|()| follower.credentials().limit_age(*max_age, *on_stale));
            if let Err(error) = limited {
                log_error!("{}: {error}", Escaped(follower.credentials().name().as_bytes()));
            }
        }
    }

    /// Reloads all of them, and returns the first error. A store that can't be read stays as it was.
    pub(super) fn reload(&self) -> Result<()> {
        let directories = self.directories.values().map(|directory| directory.reload().map(drop));
        let files = self.files.values().map(|file| file.reload().map(drop));
        let reloads: Vec<Result<()>> = directories.chain(files).collect();
        reloads.into_iter().collect()
    }

    /// Watches all directories and files from now on.
    #[cfg(feature = "watch")]
    pub(super) fn watch(&self) -> Result<()> {
        self.directories.values().try_for_each(KeyDirectory::watch)?;
        self.files.values().try_for_each(PasswordFile::watch)
    }

    #[cfg_attr(not(feature = "nats"), expect(unused_variables, reason = "nothing is followed"))]
    pub(super) fn statuses(&self, followed: bool) -> Vec<(PathBuf, StoreStatus)> {
        let stores = self.read_statuses();
        #[cfg(feature = "nats")]
        let stores = {
            let followers = self.followers.values().filter(|_| followed);
            stores.chain(followers.map(|followed| followed.follower.store_status()))
        };
        stores.collect()
    }

    /// The directories and files without entries. A bucket may not have been read yet, so it doesn't count.
    pub(super) fn empty(&self) -> Vec<PathBuf> {
        self.read_statuses().filter(|(_, status)| status.entries == 0).map(|(path, _)| path).collect()
    }

    fn read_statuses(&self) -> impl Iterator<Item = (PathBuf, StoreStatus)> {
        let directories = self.directories.iter().map(|(path, directory)| (path.clone(), directory.status()));
        directories.chain(self.files.iter().map(|(path, file)| (path.clone(), file.status())))
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
