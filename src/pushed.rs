//! Pushed credentials: keys and users from a database, a message queue or another machine.

#[cfg(feature = "nats")]
mod turn;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

use crate::certificate::KeyInfo;
use crate::contact::{Contact, Moment, OnStale};
use crate::curve::{KeyMap, PushedKeys};
use crate::error::{Error, Result};
use crate::keys::PublicKey;
use crate::metadata::Metadata;
#[cfg(feature = "argon2")]
use crate::plain::{PushedUsers, UserChange};
use crate::reload::{ReloadEvent, ReloadSummary, lock};

/// Client keys and users that your program pushes, from any source. Clones are handles on the same credentials; several
/// domains and several [`Authenticator`](crate::Authenticator)s may use them.
///
/// - Each call applies all its changes at once, to every handshake that begins after it returned. A call that returns
///   an `Err` has changed nothing.
/// - A key may have metadata, as in a certificate: it becomes properties of its client's messages, and `not-before` and
///   `not-after` (RFC 3339) are enforced.
/// - A user has a hashed password, never a clear one (feature `argon2`).
///   [`Password::hash`](crate::Password::hash) makes the hash.
/// - [`caught_up`](Self::caught_up) states that the credentials are complete as of a moment. **Before the first such
///   call, and when that moment is longer ago than `max_age` (5 minutes, or what [`limit_age`](Self::limit_age) sets),
///   handshakes are told to retry (300)** and [`is_still_allowed`](crate::Authenticator::is_still_allowed) is `false`,
///   since clients may have been revoked meanwhile. Time during which the machine is suspended counts.
///
/// A key without metadata takes 40 to 94 bytes. Up to 64 keys are changed in place. Larger changes, and all changes of
/// users, are made in a copy that then replaces the table, so decisions go on meanwhile; push many users in one call.
///
/// ```
/// use zmq_auth::{Authenticator, Metadata, Moment, PublicKey, PushedCredentials};
///
/// let credentials = PushedCredentials::new("the staff database");
/// let auth = Authenticator::new();
/// auth.configure_curve_pushed("lab", &credentials)?;
///
/// let asked = Moment::now(); // before the question
/// let (alice, bob) = (PublicKey::from([7; 32]), PublicKey::from([8; 32]));
/// credentials.replace_keys([(alice, Metadata::default()), (bob, Metadata::default())])?;
/// credentials.caught_up(asked); // from here on, handshakes are decided
///
/// credentials.remove_key(&bob);
/// assert_eq!(credentials.status().keys, 1);
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Clone)]
pub struct PushedCredentials(Arc<Inner>);

struct Inner {
    keys: Arc<PushedKeys>,
    #[cfg(feature = "argon2")]
    users: Arc<PushedUsers>,
    contact: Arc<Contact>,
    /// Held during a change. Contains the turn of the current follower: one that was replaced can't change anything.
    update: Mutex<u64>,
    /// The events to publish, in the order of the changes. Whoever holds `telling` publishes them.
    untold: Mutex<VecDeque<ReloadEvent>>,
    telling: Mutex<()>,
}

/// The status of pushed credentials.
///
/// ```
/// let status = zmq_auth::PushedCredentials::new("the staff database").status();
/// assert!(status.is_stale && status.age.is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushedStatus {
    /// The number of accepted keys.
    pub keys: usize,
    /// The number of accepted users.
    pub users: usize,
    /// The time since the last proven contact; `None` if there was none.
    pub age: Option<Duration>,
    /// Whether `age` exceeds `max_age`, or there was no contact yet: handshakes are told to retry. With the feature
    /// `metrics`, the gauge `zmq_auth_stores_behind` counts such credentials.
    pub is_stale: bool,
    /// How long they may be used without contact.
    pub max_age: Duration,
    /// What happens to connected clients after that.
    pub on_stale: OnStale,
}

impl PushedCredentials {
    /// Credentials without keys, users or contact. The name appears in the log and in events.
    ///
    /// ```
    /// let credentials = zmq_auth::PushedCredentials::new("the staff database");
    /// assert_eq!(credentials.status().keys, 0);
    /// ```
    pub fn new(name: impl AsRef<str>) -> Self {
        let contact = Contact::new(name.as_ref());
        PushedCredentials(Arc::new(Inner {
            keys: Arc::new(PushedKeys::new(contact.clone())),
            #[cfg(feature = "argon2")]
            users: Arc::new(PushedUsers::new(contact.clone())),
            contact,
            update: Mutex::default(),
            untold: Mutex::default(),
            telling: Mutex::default(),
        }))
    }

    /// Accepts a key, or replaces its metadata.
    ///
    /// # Errors
    /// [`Error::Metadata`] for a `not-before` or `not-after` that isn't an RFC 3339 time, for a name that is nearly one
    /// of these or the name of a key, and for a name that no message can carry. Nothing has changed then; if the key
    /// may have been revoked, remove it.
    ///
    /// ```
    /// use zmq_auth::{Metadata, PublicKey, PushedCredentials};
    ///
    /// let credentials = PushedCredentials::new("the staff database");
    /// let mut metadata = Metadata::default();
    /// metadata.insert("name", "Alice")?;
    /// metadata.insert("not-after", "2030-12-31T23:59:59Z")?;
    /// assert_eq!(credentials.put_key(PublicKey::from([7; 32]), &metadata)?.added, 1);
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn put_key(&self, key: PublicKey, metadata: &Metadata) -> Result<ReloadSummary> {
        self.change_keys([(key, Some(metadata))])
    }

    /// Stops accepting a key, and returns whether it was accepted before. Connected clients stay connected.
    ///
    /// ```
    /// # use zmq_auth::{PublicKey, PushedCredentials};
    /// assert!(!PushedCredentials::new("the staff database").remove_key(&PublicKey::from([7; 32])));
    /// ```
    pub fn remove_key(&self, key: &PublicKey) -> bool {
        self.told("keys", || self.0.keys.change(vec![(*key, None)])).removed > 0
    }

    /// Makes many changes at once: a key with `Some` metadata is accepted, one with `None` is removed. If a key occurs
    /// twice, the last one counts.
    ///
    /// # Errors
    /// As [`put_key`](Self::put_key); nothing has changed.
    ///
    /// ```
    /// use zmq_auth::{Metadata, PublicKey, PushedCredentials};
    ///
    /// let credentials = PushedCredentials::new("the staff database");
    /// let (alice, bob) = (PublicKey::from([7; 32]), PublicKey::from([8; 32]));
    /// credentials.put_key(alice, &Metadata::default())?;
    /// let made = credentials.change_keys([(alice, None), (bob, Some(&Metadata::default()))])?;
    /// assert_eq!((made.added, made.removed), (1, 1));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn change_keys<'m, I>(&self, changes: I) -> Result<ReloadSummary>
    where
        I: IntoIterator<Item = (PublicKey, Option<&'m Metadata>)>,
    {
        let changes = changes.into_iter().map(|(key, metadata)| Ok((key, metadata.map(info).transpose()?)));
        let changes = changes.collect::<Result<Vec<_>>>()?;
        Ok(self.told("keys", || self.0.keys.change(changes)))
    }

    /// Accepts these keys and no others.
    ///
    /// # Errors
    /// As [`put_key`](Self::put_key); nothing has changed.
    ///
    /// ```
    /// use zmq_auth::{Metadata, PublicKey, PushedCredentials};
    ///
    /// let credentials = PushedCredentials::new("the staff database");
    /// credentials.replace_keys([(PublicKey::from([7; 32]), Metadata::default())])?;
    /// let now = credentials.replace_keys([(PublicKey::from([8; 32]), Metadata::default())])?;
    /// assert_eq!((now.added, now.removed), (1, 1));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn replace_keys<I>(&self, keys: I) -> Result<ReloadSummary>
    where
        I: IntoIterator<Item = (PublicKey, Metadata)>,
    {
        let keys = keys.into_iter().map(|(key, metadata)| Ok((key, info(&metadata)?)));
        let keys = keys.collect::<Result<KeyMap>>()?;
        Ok(self.told("keys", || self.0.keys.replace(keys)))
    }

    /// Accepts a user with the password of this hash: an argon2id PHC string, within the same limits as in a
    /// [`PasswordFile`](crate::PasswordFile).
    ///
    /// # Errors
    /// [`Error::PlainCredentials`] for a name that no client can send, for a clear password, and for a hash that can't
    /// be checked. Nothing has changed then.
    ///
    /// ```
    /// use zmq_auth::{Password, PushedCredentials};
    ///
    /// let credentials = PushedCredentials::new("the staff database");
    /// let hash = Password::from("correct horse battery staple").hash()?;
    /// assert_eq!(credentials.put_user("alice", &hash)?.added, 1);
    /// assert!(credentials.put_user("bob", "a clear password").is_err());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[cfg(feature = "argon2")]
    pub fn put_user(&self, name: &str, hash: &str) -> Result<ReloadSummary> {
        self.change_users([(name, Some(hash))])
    }

    /// Stops accepting a user, and returns whether the user was accepted before.
    ///
    /// ```
    /// assert!(!zmq_auth::PushedCredentials::new("the staff database").remove_user("alice"));
    /// ```
    #[cfg(feature = "argon2")]
    pub fn remove_user(&self, name: &str) -> bool {
        let removal = UserChange::removal(name);
        self.told("users", || self.0.users.change(vec![removal])).removed > 0
    }

    /// Makes many changes at once: a user with a hash is accepted, one without is removed. If a name occurs twice, the
    /// last one counts.
    ///
    /// # Errors
    /// As [`put_user`](Self::put_user); nothing has changed.
    ///
    /// ```
    /// use zmq_auth::{Password, PushedCredentials};
    ///
    /// let credentials = PushedCredentials::new("the staff database");
    /// let hash = Password::from("correct horse battery staple").hash()?;
    /// credentials.change_users([("alice", Some(hash.as_str())), ("bob", None)])?;
    /// assert_eq!(credentials.status().users, 1);
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[cfg(feature = "argon2")]
    pub fn change_users<'u, I>(&self, changes: I) -> Result<ReloadSummary>
    where
        I: IntoIterator<Item = (&'u str, Option<&'u str>)>,
    {
        let changes = changes.into_iter().map(|(name, hash)| UserChange::new(name, hash));
        let changes = changes.collect::<Result<Vec<_>>>()?;
        Ok(self.told("users", || self.0.users.change(changes)))
    }

    /// Accepts these users, each with the hash of a password, and no others.
    ///
    /// # Errors
    /// As [`put_user`](Self::put_user); nothing has changed.
    ///
    /// ```
    /// let credentials = zmq_auth::PushedCredentials::new("the staff database");
    /// credentials.replace_users([])?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[cfg(feature = "argon2")]
    pub fn replace_users<'u, I>(&self, users: I) -> Result<ReloadSummary>
    where
        I: IntoIterator<Item = (&'u str, &'u str)>,
    {
        let users = users.into_iter().map(|(name, hash)| UserChange::new(name, Some(hash)));
        let users = users.collect::<Result<Vec<_>>>()?;
        Ok(self.told("users", || self.0.users.replace(users)))
    }

    /// States that everything in the source at this moment has been pushed. Take the moment **before** you query the
    /// source: the answer may lack what changes during the query. A moment before that of an earlier call has no
    /// effect.
    ///
    /// Call it only with proof: an answer from a cache, or from a replica that has lost its leader, proves nothing.
    ///
    /// ```
    /// let credentials = zmq_auth::PushedCredentials::new("the staff database");
    /// credentials.caught_up(zmq_auth::Moment::now());
    /// assert!(!credentials.status().is_stale);
    /// ```
    pub fn caught_up(&self, asked: Moment) {
        self.0.contact.proven(asked);
    }

    /// Sets how long these credentials may be used without contact (5 minutes by default), and what happens to
    /// connected clients after that.
    ///
    /// # Errors
    /// [`Error::Limit`] for a time that isn't 100 ms to 30 days, or, if they come from a NATS bucket, is shorter than
    /// three heartbeats.
    ///
    /// ```
    /// use zmq_auth::{OnStale, PushedCredentials};
    /// use std::time::Duration;
    ///
    /// let credentials = PushedCredentials::new("the staff database");
    /// credentials.limit_age(Duration::from_secs(60), OnStale::Refuse)?;
    /// assert_eq!(credentials.status().max_age, Duration::from_secs(60));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn limit_age(&self, max_age: Duration, on_stale: OnStale) -> Result<()> {
        self.0.contact.limit_age(max_age, on_stale)
    }

    /// The current status.
    ///
    /// ```
    /// let status = zmq_auth::PushedCredentials::new("the staff database").status();
    /// println!("{} keys, {} users, last contact {:?} ago", status.keys, status.users, status.age);
    /// ```
    pub fn status(&self) -> PushedStatus {
        let contact = &self.0.contact;
        PushedStatus {
            keys: self.0.keys.len(),
            #[cfg(feature = "argon2")]
            users: self.0.users.len(),
            #[cfg(not(feature = "argon2"))]
            users: 0,
            age: contact.age(),
            is_stale: contact.is_stale(),
            max_age: contact.max_age(),
            on_stale: contact.on_stale(),
        }
    }

    /// The name given to [`new`](Self::new).
    ///
    /// ```
    /// assert_eq!(zmq_auth::PushedCredentials::new("the staff database").name(), "the staff database");
    /// ```
    pub fn name(&self) -> &str {
        self.0.contact.name()
    }

    pub(crate) fn keys(&self) -> &Arc<PushedKeys> {
        &self.0.keys
    }

    #[cfg(feature = "argon2")]
    pub(crate) fn users(&self) -> &Arc<PushedUsers> {
        &self.0.users
    }

    pub(crate) fn contact(&self) -> &Arc<Contact> {
        &self.0.contact
    }

    /// Makes a change, and publishes an event if it changed anything.
    fn told(&self, what: &'static str, change: impl FnOnce() -> ReloadSummary) -> ReloadSummary {
        let update = lock(&self.0.update);
        let summary = change();
        self.note(what, summary);
        drop(update);
        self.tell();
        summary
    }

    fn note(&self, what: &'static str, summary: ReloadSummary) {
        if !summary.is_nothing() {
            lock(&self.0.untold).push_back(ReloadEvent::changed(self.name(), what, summary));
        }
    }

    /// Publishes the events. Holds no lock that a listener, such as the program's logger, could need.
    fn tell(&self) {
        while !lock(&self.0.untold).is_empty() {
            let _telling = match self.0.telling.try_lock() {
                Ok(telling) => telling,
                Err(TryLockError::Poisoned(telling)) => telling.into_inner(),
                // The thread that holds it publishes these, too.
                Err(TryLockError::WouldBlock) => return,
            };
            loop {
                let Some(event) = lock(&self.0.untold).pop_front() else { break };
                self.0.contact.observers().publish(&event);
            }
        }
    }
}

fn info(metadata: &Metadata) -> Result<Option<Arc<KeyInfo>>> {
    KeyInfo::of_unread(metadata).map_err(|(name, problem)| Error::Metadata { name: name.to_owned(), problem })
}

impl fmt::Debug for PushedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushedCredentials").field("name", &self.name()).field("status", &self.status()).finish()
    }
}
