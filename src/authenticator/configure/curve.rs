//! The calls that set the source of CURVE keys.

use std::path::Path;
use std::sync::Arc;

use super::super::{Authenticator, domains};
use super::{announce, announce_pushed};
#[cfg(feature = "tokio")]
use crate::callback::FutureVerdict;
use crate::callback::{CallbackId, Peer, Verdict};
use crate::curve::{CurveSource, KeyDirectory, KeySet, UserId, UserIdSource, load_keys};
use crate::error::{Error, Result};
use crate::keys::PublicKey;
use crate::pushed::PushedCredentials;

/// The location for [`Authenticator::configure_curve`] that accepts every CURVE client of the domain. Such a client has
/// proved that it holds some secret key, and nothing more.
pub const CURVE_ALLOW_ANY: &str = "*";

impl Authenticator {
    /// Accepts the keys of all `*.key` files in a directory, or every client with [`CURVE_ALLOW_ANY`].
    ///
    /// A certificate may limit its own validity: `not-before` and `not-after` in its metadata, RFC 3339 times such as
    /// `2026-12-31T23:59:59Z`, are enforced at each handshake. For a rotation, two keys of one user may overlap.
    ///
    /// The directory is read once, by this call; call it again after a change, or use
    /// [`configure_curve_store`](Self::configure_curve_store). A certificate's metadata becomes properties of its client's
    /// messages, except names that libzmq reserves. An empty directory is legal, accepts nobody, and is logged
    /// as a warning.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::Io`] and [`Error::Certificate`], which name the file. The old source stays.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let directory = tempfile::tempdir()?;
    /// auth.configure_curve("lab", directory.path())?;
    /// auth.configure_curve("open", zmq_auth::CURVE_ALLOW_ANY)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn configure_curve(&self, domain: &str, location: impl AsRef<Path>) -> Result<()> {
        domains::check(domain)?;
        let location = location.as_ref();
        if location.as_os_str() == CURVE_ALLOW_ANY {
            self.set_curve(domain, CurveSource::Any);
            log_debug!("domain {domain:?}: CURVE for any key");
            return Ok(());
        }
        let names = self.read().user_id.needs_file_names();
        let (directory, names) = load_keys(location, names)?;
        let keys = directory.len();
        self.set_curve(domain, CurveSource::Directory(directory, names));
        announce(domain, "CURVE", "a directory of keys", keys);
        Ok(())
    }

    /// Accepts the keys of a directory that follows the disk: the result of a reload applies at once, here and wherever
    /// else the same [`KeyDirectory`] is used.
    ///
    /// # Errors
    /// [`Error::Domain`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let dir = tempfile::tempdir()?;
    /// let keys = zmq_auth::KeyDirectory::open(&dir)?;
    /// auth.configure_curve_store("lab", &keys)?;
    /// # #[cfg(feature = "watch")]
    /// keys.watch()?; // or keys.reload(), on demand
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn configure_curve_store(&self, domain: &str, keys: &KeyDirectory) -> Result<()> {
        domains::check(domain)?;
        let source = self.key_directory_source(keys, None);
        if self.read().user_id.needs_file_names() {
            source.keep_file_names();
        }
        self.set_curve(domain, source);
        // In case the policy has come to need them since.
        if self.read().user_id.needs_file_names() {
            keys.keep_file_names();
        }
        announce(domain, "CURVE", "a reloadable directory of keys", keys.status().entries);
        Ok(())
    }

    /// Accepts the keys that the program pushes; [`PushedCredentials`] also says what happens without contact. A push
    /// applies at once, here and wherever else the same credentials are used.
    ///
    /// # Errors
    /// [`Error::Domain`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// let credentials = zmq_auth::PushedCredentials::new("the staff database");
    /// auth.configure_curve_pushed("lab", &credentials)?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_curve_pushed(&self, domain: &str, credentials: &PushedCredentials) -> Result<()> {
        domains::check(domain)?;
        self.set_curve(domain, self.pushed_keys_source(credentials));
        announce_pushed(domain, "CURVE", credentials);
        Ok(())
    }

    /// Accepts exactly these client keys.
    ///
    /// # Errors
    /// [`Error::Domain`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let client = zmq_auth::PublicKey::from([7; 32]);
    /// auth.configure_curve_keys("lab", [client])?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_curve_keys<I>(&self, domain: &str, keys: I) -> Result<()>
    where
        I: IntoIterator<Item = PublicKey>,
    {
        domains::check(domain)?;
        let keys: KeySet = keys.into_iter().collect();
        let count = keys.len();
        self.set_curve(domain, CurveSource::Keys(keys));
        announce(domain, "CURVE", "a set of keys", count);
        Ok(())
    }

    /// Adds one key to the domain's set; a domain without a CURVE source gets a set with this key only.
    ///
    /// A key that is added to those of a directory is lost when the directory is configured again.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::NoKeySet`] if the domain accepts any key, or uses a callback or a store.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let client = zmq_auth::PublicKey::from([7; 32]);
    /// auth.add_curve_key("lab", client)?;
    /// assert!(auth.remove_curve_key("lab", &client)?);
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn add_curve_key(&self, domain: &str, key: PublicKey) -> Result<()> {
        domains::check(domain)?;
        let update = self.begin_update();
        let roomier = update.read().domains.get(domain).and_then(|sources| sources.curve.as_ref()?.roomier());
        let mut policy = update.write();
        let curve = &mut policy.domains.entry(domain).curve;
        let full = roomier.and_then(|roomier| curve.replace(roomier));
        let source = curve.get_or_insert_with(|| CurveSource::Keys(Default::default()));
        let added = source.add(key);
        drop(policy);
        drop(full);
        added.map_err(|source_kind| Error::NoKeySet { domain: domain.to_owned(), source_kind })
    }

    /// Removes one key from the domain's set, and returns whether the set had it. Connected clients stay connected.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::NoKeySet`] if the domain accepts any key, or uses a callback or a store: the key
    /// can't be refused this way.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let client = zmq_auth::PublicKey::from([7; 32]);
    /// assert!(!auth.remove_curve_key("lab", &client)?);
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn remove_curve_key(&self, domain: &str, key: &PublicKey) -> Result<bool> {
        domains::check(domain)?;
        let mut policy = self.write();
        match policy.domains.get_mut(domain).and_then(|sources| sources.curve.as_mut()) {
            None => Ok(false),
            Some(source) => {
                source.remove(key).map_err(|source_kind| Error::NoKeySet { domain: domain.to_owned(), source_kind })
            }
        }
    }

    /// Lets a callback decide about the domain's CURVE clients. See
    /// [`configure_plain_callback`](Self::configure_plain_callback) for where it runs and how it can fail.
    ///
    /// # Errors
    /// [`Error::Domain`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let known = zmq_auth::PublicKey::from([7; 32]);
    /// auth.configure_curve_callback("lab", move |key, _peer| *key == known)?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_curve_callback<F, V>(&self, domain: &str, callback: F) -> Result<()>
    where
        F: Fn(&PublicKey, &Peer) -> V + Send + Sync + 'static,
        V: Into<Verdict>,
    {
        domains::check(domain)?;
        let callback = move |key: &PublicKey, peer: &Peer| callback(key, peer).into();
        self.set_curve(domain, CurveSource::Callback(Arc::new(callback), CallbackId::new()));
        log_debug!("domain {domain:?}: CURVE by a callback");
        Ok(())
    }

    /// Lets an async callback decide about the domain's CURVE clients. It needs [`AsyncAuthenticator`](crate::AsyncAuthenticator);
    /// with the handler thread or [`handle_zap_message`](Self::handle_zap_message), its clients are refused with 500.
    ///
    /// Callbacks of different clients run concurrently, each in its own task, up to
    /// [`limit_async_callbacks`](Self::limit_async_callbacks). They are cancelled at their deadline and when the handler
    /// stops. A panic or an `Err` refuses only this client, with 500.
    ///
    /// # Errors
    /// [`Error::Domain`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # async fn is_listed(key: zmq_auth::PublicKey) -> std::io::Result<bool> { Ok(true) }
    /// auth.configure_curve_callback_async("lab", |key, _peer| is_listed(key))?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[cfg(feature = "tokio")]
    pub fn configure_curve_callback_async<F, Fut, V>(&self, domain: &str, callback: F) -> Result<()>
    where
        F: Fn(PublicKey, Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = V> + Send + 'static,
        V: Into<Verdict>,
    {
        domains::check(domain)?;
        let callback = move |key: PublicKey, peer: Peer| -> FutureVerdict {
            let verdict = callback(key, peer);
            Box::pin(async move { verdict.await.into() })
        };
        self.set_curve(domain, CurveSource::AsyncCallback(Arc::new(callback), CallbackId::new()));
        log_debug!("domain {domain:?}: CURVE by an async callback");
        Ok(())
    }

    /// A source of this directory's keys. `user_id` names its clients, overriding the policy's.
    pub(crate) fn key_directory_source(&self, keys: &KeyDirectory, user_id: Option<UserId>) -> CurveSource {
        let observer = self.reload_observer();
        keys.observe(Arc::downgrade(&observer));
        let user_id = user_id.map(UserIdSource::Certificate);
        if user_id.as_ref().is_some_and(UserIdSource::needs_file_names) {
            keys.keep_file_names();
        }
        CurveSource::Store { keys: keys.clone(), user_id, _observer: observer }
    }

    /// A source of the pushed keys.
    pub(crate) fn pushed_keys_source(&self, credentials: &PushedCredentials) -> CurveSource {
        let observer = self.pushed_observer(credentials);
        CurveSource::Pushed { keys: credentials.keys().clone(), _observer: observer }
    }

    fn set_curve(&self, domain: &str, source: CurveSource) {
        let old = self.change(domain, |sources| sources.curve.replace(source));
        drop(old);
    }
}
