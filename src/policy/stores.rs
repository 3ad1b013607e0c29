//! The key directories and password files that a policy file names.

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

/// By their paths, each once, however many domains use it.
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

/// The follower, and what the file says of it.
#[cfg(feature = "nats")]
#[derive(Clone)]
pub(super) struct Followed {
    pub(super) follower: Arc<NatsFollower>,
    /// Another follower takes over where this is another.
    pub(super) connection: String,
    pub(super) max_age: Duration,
    pub(super) on_stale: OnStale,
}

impl Stores {
    /// The directory; of those that `known` has, the same one.
    pub(super) fn key_directory(&mut self, path: &Path, known: &Stores) -> Result<KeyDirectory> {
        find_or_open(&mut self.directories, &known.directories, path, KeyDirectory::open)
    }

    /// The password file; of those that `known` has, the same one.
    pub(super) fn password_file(&mut self, path: &Path, known: &Stores) -> Result<PasswordFile> {
        find_or_open(&mut self.files, &known.files, path, PasswordFile::open)
    }

    /// The follower; of those that `known` has, the same one, if its connection is the same. A new one has no contact before
    /// [`follow`](Self::follow), and gets the credentials of the one whose place it takes.
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

    /// In the place of those before: what those alone have followed isn't followed any more, and what is new is from now on.
    #[cfg(feature = "nats")]
    pub(super) fn follow(&self, before: &Stores) {
        for Followed { follower, .. } in before.followers.values() {
            if !self.followers.values().any(|now| Arc::ptr_eq(&now.follower, follower)) {
                follower.stop();
            }
        }
        for Followed { follower, max_age, on_stale, .. } in self.followers.values() {
            let limited = follower.credentials().limit_age(*max_age, *on_stale);
            if let Err(error) = limited.and_then(|()| follower.start()) {
                log_error!("{}: {error}", Escaped(follower.credentials().name().as_bytes()));
            }
        }
    }

    /// Reloads all of them, and returns the first error: what could not be read stays as it was.
    pub(super) fn reload(&self) -> Result<()> {
        let directories = self.directories.values().map(|directory| directory.reload().map(drop));
        let files = self.files.values().map(|file| file.reload().map(drop));
        let reloads: Vec<Result<()>> = directories.chain(files).collect();
        reloads.into_iter().collect()
    }

    /// Each follows the disk from now on.
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

    /// Those that were read when they were opened, and have nothing in them.
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
