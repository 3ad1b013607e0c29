//! CURVE: the sources of client keys, one for each domain.

mod directory;
mod listing;
mod pushed;
mod read;
mod scan;
mod table;
mod user_id;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use foldhash::fast::RandomState;

use crate::callback::{Call, CallbackId, Decision, Lookup, Peer, Verdict, conclude};
use crate::certificate::KeyInfo;
use crate::error::Result;
use crate::in_place::fits_in_place;
use crate::keys::PublicKey;
use crate::reason::{Evidence, Reason, Recheck};
use crate::reload::ReloadObserver;
use crate::zap::{Reply, Request};
pub use directory::KeyDirectory;
pub(crate) use pushed::PushedKeys;
use scan::Files;
#[cfg(feature = "nats")]
pub(crate) use table::KeyChange;
pub(crate) use table::KeyMap;
use table::NameMap;
pub use user_id::UserId;
pub(crate) use user_id::UserIdSource;

pub(crate) type CurveCallback = dyn Fn(&PublicKey, &Peer) -> Verdict + Send + Sync;
#[cfg(feature = "tokio")]
pub(crate) type AsyncCurveCallback = dyn Fn(PublicKey, Peer) -> crate::callback::FutureVerdict + Send + Sync;
/// The function that gives the client with a key its user id.
pub(crate) type UserIdMap = dyn Fn(&PublicKey) -> String + Send + Sync;
pub(crate) type KeySet = HashSet<PublicKey, RandomState>;

/// The client keys that a domain accepts.
pub(crate) enum CurveSource {
    Any,
    Keys(KeySet),
    /// Read once, with the files' names if they were needed at the time.
    Directory(KeyMap, Option<Arc<NameMap>>),
    /// A directory that may change.
    Store {
        keys: KeyDirectory,
        /// Names its clients, overriding the policy's choice.
        user_id: Option<UserIdSource>,
        _observer: Arc<ReloadObserver>,
    },
    /// Keys that the program pushes.
    Pushed {
        keys: Arc<PushedKeys>,
        _observer: Arc<ReloadObserver>,
    },
    Callback(Arc<CurveCallback>, CallbackId),
    #[cfg(feature = "tokio")]
    AsyncCallback(Arc<AsyncCurveCallback>, CallbackId),
}

/// What a source knows about a key without calling the program.
enum Known {
    No,
    Any,
    Listed(Option<Arc<KeyInfo>>),
    CallbackDecides(CallbackId),
}

impl CurveSource {
    /// Decides about a key. `user_id` names the clients that are accepted.
    pub(crate) fn check(&self, request: &Request<'_>, key: &PublicKey, user_id: &UserIdSource) -> Lookup {
        if let CurveSource::Pushed { keys, .. } = self
            && let Err(stale) = keys.contact().check()
        {
            return Lookup::Refuse(stale);
        }
        let (reason, info) = match self.look_up(key) {
            Known::No => return Lookup::Refuse(Reason::UnknownKey),
            Known::Any => (Reason::AnyKey, None),
            Known::Listed(info) => (Reason::ListedKey, info),
            Known::CallbackDecides(_) => return self.ask(request, key, user_id),
        };
        if let Err(reason) = check_validity(info.as_deref()) {
            return Lookup::Refuse(reason);
        }
        let user_id = match self {
            CurveSource::Store { user_id: Some(own), .. } => own,
            _ => user_id,
        };
        match user_id {
            UserIdSource::Certificate(user_id) => match self.name(key, info.as_deref(), user_id) {
                Some(name) => Lookup::AcceptAs(reason, info, name),
                None => Lookup::Accept(reason, info),
            },
            UserIdSource::Map(map) => Lookup::Ask(name_client(map.clone(), *key, info, reason)),
        }
    }

    /// `None` if the key itself is the user id.
    fn name(&self, key: &PublicKey, info: Option<&KeyInfo>, user_id: &UserId) -> Option<Box<str>> {
        match (user_id, self) {
            (UserId::Key, _) => None,
            (UserId::FileName, CurveSource::Directory(_, names)) => names.as_ref()?.get(key).cloned(),
            (UserId::FileName, CurveSource::Store { keys, .. }) => keys.file_name(key),
            (UserId::FileName, _) => None,
            (UserId::Metadata(name), _) => {
                let value = str::from_utf8(info?.value(name)?).ok()?;
                (!value.is_empty()).then(|| value.into())
            }
        }
    }

    /// Keeps the file names of a directory that follows the disk, from now on.
    pub(crate) fn keep_file_names(&self) {
        if let CurveSource::Store { keys, .. } = self {
            keys.keep_file_names();
        }
    }

    /// Whether a client that was accepted with this key and evidence would be accepted again.
    pub(crate) fn recheck(&self, key: &PublicKey, evidence: Evidence, which: Recheck) -> Result<(), Reason> {
        if let CurveSource::Pushed { keys, .. } = self {
            keys.contact().recheck(which)?;
        }
        match self.look_up(key) {
            Known::No => Err(Reason::UnknownKey),
            Known::Any => Ok(()),
            Known::Listed(info) => check_validity(info.as_deref()),
            Known::CallbackDecides(id) => evidence.holds_for(id),
        }
    }

    fn look_up(&self, key: &PublicKey) -> Known {
        match self {
            CurveSource::Any => Known::Any,
            CurveSource::Keys(keys) if keys.contains(key) => Known::Listed(None),
            CurveSource::Keys(_) => Known::No,
            CurveSource::Directory(keys, _) => keys.get(key).cloned().map_or(Known::No, Known::Listed),
            CurveSource::Store { keys, .. } => keys.look_up(key).map_or(Known::No, Known::Listed),
            CurveSource::Pushed { keys, .. } => keys.look_up(key).map_or(Known::No, Known::Listed),
            CurveSource::Callback(_, id) => Known::CallbackDecides(*id),
            #[cfg(feature = "tokio")]
            CurveSource::AsyncCallback(_, id) => Known::CallbackDecides(*id),
        }
    }

    fn ask(&self, request: &Request<'_>, key: &PublicKey, user_id: &UserIdSource) -> Lookup {
        let Some(peer) = Peer::of(request) else { return Lookup::Refuse(Reason::UnreadableText) };
        let key = *key;
        let map = match user_id {
            UserIdSource::Map(map) => Some(map.clone()),
            UserIdSource::Certificate(_) => None,
        };
        let name = move || map.map_or_else(|| key.to_string(), |map| map(&key));
        match self {
            CurveSource::Callback(callback, id) => {
                let (callback, id) = (callback.clone(), *id);
                Lookup::Ask(Call::new(move || conclude(callback(&key, &peer), id, name)))
            }
            #[cfg(feature = "tokio")]
            CurveSource::AsyncCallback(callback, id) => {
                let (callback, id) = (callback.clone(), *id);
                Lookup::Ask(Call::new_async(move || async move { conclude(callback(key, peer).await, id, name) }))
            }
            _ => Lookup::Refuse(Reason::UnknownKey),
        }
    }

    /// A copy of the table with more room, if this one is full: growing in place would delay decisions.
    pub(crate) fn roomier(&self) -> Option<Self> {
        match self {
            CurveSource::Keys(keys) if !fits_in_place(1, keys.capacity() - keys.len()) => {
                let mut copy = KeySet::with_capacity_and_hasher(keys.len() * 2, RandomState::default());
                copy.extend(keys);
                Some(CurveSource::Keys(copy))
            }
            CurveSource::Directory(keys, names) if !fits_in_place(1, keys.capacity() - keys.len()) => {
                Some(CurveSource::Directory(table::with_room(keys, keys.len()), names.clone()))
            }
            _ => None,
        }
    }

    /// Adds one key. `Err` is the kind of a source without a list of keys.
    pub(crate) fn add(&mut self, key: PublicKey) -> Result<(), &'static str> {
        match self {
            CurveSource::Keys(keys) => {
                keys.insert(key);
                Ok(())
            }
            CurveSource::Directory(directory, _) => {
                directory.entry(key).or_insert(None);
                Ok(())
            }
            unlisted => Err(unlisted.kind()),
        }
    }

    /// Removes one key, and returns whether it was listed. `Err` is the kind of a source without a list of keys.
    pub(crate) fn remove(&mut self, key: &PublicKey) -> Result<bool, &'static str> {
        match self {
            CurveSource::Keys(keys) => Ok(keys.remove(key)),
            CurveSource::Directory(directory, _) => Ok(directory.remove(key).is_some()),
            unlisted => Err(unlisted.kind()),
        }
    }

    /// Whether the source lists the key; `None` if it has no list.
    pub(crate) fn lists(&self, key: &PublicKey) -> Option<bool> {
        match self.look_up(key) {
            Known::No => Some(false),
            Known::Listed(_) => Some(true),
            Known::Any | Known::CallbackDecides(_) => None,
        }
    }

    /// The directory, if the source follows one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            CurveSource::Store { keys, .. } => Some(keys.path()),
            _ => None,
        }
    }

    /// The kind of source, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            CurveSource::Any => "allow-any",
            CurveSource::Keys(_) => "a set of keys",
            CurveSource::Directory(..) => "a directory",
            CurveSource::Store { .. } => "a key directory",
            CurveSource::Pushed { .. } => "pushed credentials",
            CurveSource::Callback(..) => "a callback",
            #[cfg(feature = "tokio")]
            CurveSource::AsyncCallback(..) => "a callback",
        }
    }
}

fn check_validity(info: Option<&KeyInfo>) -> Result<(), Reason> {
    match info.and_then(|info| info.validity.as_ref()) {
        None => Ok(()),
        Some(validity) => validity.check(SystemTime::now()),
    }
}

/// The outcome for an accepted client whose user id the program chooses.
fn name_client(user_id: Arc<UserIdMap>, key: PublicKey, info: Option<Arc<KeyInfo>>, reason: Reason) -> Call {
    Call::new(move || {
        let mut reply = Reply::new();
        reply.allow(user_id(&key).as_bytes());
        if let Some(info) = info {
            reply.add_encoded(&info.metadata);
        }
        Decision { reason, reply }
    })
}

/// Loads every `*.key` of a directory once, with the files' names if they are needed. If one can't be read, nothing is loaded.
pub(crate) fn load_keys(directory: &Path, names: bool) -> Result<(KeyMap, Option<Arc<NameMap>>)> {
    let mut files = Files::default();
    files.open(directory)?;
    Ok((files.keys(), names.then(|| Arc::new(files.file_names()))))
}

/// Loads the public keys of every `*.key` file in a directory, except hidden files; subdirectories are ignored.
///
/// Two files with one key give one key. An empty directory gives an empty set.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the directory can't be listed. One file that [`Certificate::load`](crate::Certificate::load)
/// refuses fails the whole call with the error that names it; of several, the first by name. So does a certificate whose
/// `not-before` or `not-after` can't be parsed. **The times themselves aren't enforced**, because a set of keys can't hold
/// them: [`KeyDirectory`] and
/// [`configure_curve`](crate::Authenticator::configure_curve) do.
///
/// ```
/// # use zmq_auth::{create_certificates, load_certificates};
/// # let dir = tempfile::tempdir()?;
/// create_certificates(&dir, "alice")?;
/// create_certificates(&dir, "bob")?;
/// assert_eq!(load_certificates(&dir)?.len(), 2);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn load_certificates(dir: impl AsRef<Path>) -> Result<HashSet<PublicKey>> {
    Ok(load_keys(dir.as_ref(), false)?.0.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> PublicKey {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        PublicKey::from(bytes)
    }

    fn space(source: &CurveSource) -> (usize, usize) {
        match source {
            CurveSource::Keys(keys) => (keys.len(), keys.capacity()),
            CurveSource::Directory(keys, _) => (keys.len(), keys.capacity()),
            _ => unreachable!("it lists keys"),
        }
    }

    #[test]
    fn a_full_table_has_a_larger_copy_and_no_other_has_one() {
        for mut source in [CurveSource::Keys(KeySet::default()), CurveSource::Directory(KeyMap::default(), None)] {
            let mut copies = 0;
            for number in 0..2_000 {
                let (held, room) = space(&source);
                let roomier = source.roomier();
                assert_eq!(roomier.is_some(), held == room, "{held} of {room}");
                if let Some(roomier) = roomier {
                    assert!(space(&roomier).0 == held && space(&roomier).1 >= held * 2, "{:?}", space(&roomier));
                    copies += 1;
                    source = roomier;
                }
                source.add(key(number)).unwrap();
            }
            assert!((5..20).contains(&copies), "{copies}");
            assert!((0..2_000).all(|number| matches!(source.look_up(&key(number)), Known::Listed(None))));
            assert_eq!((source.remove(&key(7)), source.remove(&key(7))), (Ok(true), Ok(false)));
        }
        assert!(CurveSource::Any.roomier().is_none());
    }
}
