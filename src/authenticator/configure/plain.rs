//! The calls that configure PLAIN.

use std::sync::Arc;

use super::super::{Authenticator, domains};
use super::announce;
#[cfg(feature = "tokio")]
use crate::callback::FutureVerdict;
use crate::callback::{CallbackId, Peer, Verdict};
use crate::error::Result;
use crate::plain::{Password, PasswordFile, PasswordTable, PlainSource};

impl Authenticator {
    /// Sets the domain's users and their passwords, which are compared as bytes in constant time. An empty table is legal
    /// and accepts nobody.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain); [`Error::PlainCredentials`](crate::Error::PlainCredentials) for a name or
    /// password that is empty or longer than 255 bytes, which no libzmq client could send, and for a password that is
    /// marked as a hash, such as `$2y$…` or `{SSHA}…`: anybody who has seen the hash could log in with it. To check
    /// hashes, use a [`PasswordFile`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_plain("shop", [("alice", "correct horse battery staple")])?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_plain<I, U, P>(&self, domain: &str, passwords: I) -> Result<()>
    where
        I: IntoIterator<Item = (U, P)>,
        U: Into<String>,
        P: Into<Password>,
    {
        domains::check(domain)?;
        let table = PasswordTable::from_passwords(passwords)?;
        let users = table.len();
        self.set_plain(domain, PlainSource::Table(table));
        announce(domain, "PLAIN", "a table of users", users);
        Ok(())
    }

    /// Accepts the users of a file that follows the disk: the result of a reload applies at once, here and wherever else
    /// the same [`PasswordFile`] is used. Its page says what hashed passwords cost.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("passwords");
    /// std::fs::write(&path, "alice=correct horse battery staple\n")?;
    /// auth.configure_plain_file("shop", &zmq_auth::PasswordFile::open(&path)?)?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn configure_plain_file(&self, domain: &str, passwords: &PasswordFile) -> Result<()> {
        domains::check(domain)?;
        self.set_plain(domain, self.password_file_source(passwords));
        announce(domain, "PLAIN", "a password file", passwords.status().entries);
        Ok(())
    }

    /// Accepts the users that the program pushes. [`PushedCredentials`](crate::PushedCredentials) says what happens
    /// without contact, [`PasswordFile`] what hashed passwords cost.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// let credentials = zmq_auth::PushedCredentials::new("the staff database");
    /// auth.configure_plain_pushed("shop", &credentials)?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[cfg(feature = "argon2")]
    pub fn configure_plain_pushed(&self, domain: &str, credentials: &crate::pushed::PushedCredentials) -> Result<()> {
        domains::check(domain)?;
        self.set_plain(domain, self.pushed_users_source(credentials));
        super::announce_pushed(domain, "PLAIN", credentials);
        Ok(())
    }

    /// Lets a callback decide about the domain's PLAIN clients.
    ///
    /// It receives the user name, the password and the [`Peer`]. It runs on a separate thread, with no lock held, and may
    /// call any method of the `Authenticator`. A panic or an `Err` refuses only this client, with 500. A name or password
    /// that isn't UTF-8 is refused (400) without calling it.
    ///
    /// The reason in a [`Deny`](Verdict::Deny) or [`Fault`](Verdict::Fault) is logged only if it is static text
    /// (`&'static str`): text made at run time, including an `Err`, could quote the password. Do your own logging,
    /// without the password.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_plain_callback("shop", |user, password, _peer| user == "alice" && password == "secret")?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_plain_callback<F, V>(&self, domain: &str, callback: F) -> Result<()>
    where
        F: Fn(&str, &str, &Peer) -> V + Send + Sync + 'static,
        V: Into<Verdict>,
    {
        domains::check(domain)?;
        let callback = move |user: &str, password: &str, peer: &Peer| callback(user, password, peer).into();
        self.set_plain(domain, PlainSource::Callback(Arc::new(callback), CallbackId::new()));
        log_debug!("domain {domain:?}: PLAIN by a callback");
        Ok(())
    }

    /// Lets an async callback decide about the domain's PLAIN clients, as
    /// [`configure_curve_callback_async`](Self::configure_curve_callback_async) does for CURVE. A name or password that
    /// isn't UTF-8 is refused (400) without calling it.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain).
    ///
    /// ```
    /// use zmq_auth::Password;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_plain_callback_async("shop", |user, password, _peer| async move {
    ///     user == "alice" && password == Password::from("correct horse")
    /// })?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[cfg(feature = "tokio")]
    pub fn configure_plain_callback_async<F, Fut, V>(&self, domain: &str, callback: F) -> Result<()>
    where
        F: Fn(String, Password, Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = V> + Send + 'static,
        V: Into<Verdict>,
    {
        domains::check(domain)?;
        let callback = move |user: String, password: Password, peer: Peer| -> FutureVerdict {
            let verdict = callback(user, password, peer);
            Box::pin(async move { verdict.await.into() })
        };
        self.set_plain(domain, PlainSource::AsyncCallback(Arc::new(callback), CallbackId::new()));
        log_debug!("domain {domain:?}: PLAIN by an async callback");
        Ok(())
    }

    /// A source of this file's users.
    pub(crate) fn password_file_source(&self, passwords: &PasswordFile) -> PlainSource {
        let observer = self.reload_observer();
        passwords.observe(Arc::downgrade(&observer));
        PlainSource::File { file: passwords.clone(), _observer: observer }
    }

    /// A source of the pushed users.
    #[cfg(feature = "argon2")]
    pub(crate) fn pushed_users_source(&self, credentials: &crate::pushed::PushedCredentials) -> PlainSource {
        let observer = self.pushed_observer(credentials);
        PlainSource::Pushed { users: credentials.users().clone(), _observer: observer }
    }

    fn set_plain(&self, domain: &str, source: PlainSource) {
        let old = self.change(domain, |sources| sources.plain.replace(source));
        drop(old);
    }
}
