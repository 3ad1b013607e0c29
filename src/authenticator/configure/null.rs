//! The calls that configure NULL.

use std::sync::Arc;

use super::super::{Authenticator, domains};
#[cfg(feature = "tokio")]
use crate::callback::FutureVerdict;
use crate::callback::{CallbackId, Peer, Verdict};
use crate::error::Result;
use crate::null::{NullAccess, NullSource};

impl Authenticator {
    /// Accepts or refuses the domain's NULL clients, which present nothing but their address. By default NULL clients are
    /// accepted, as in pyzmq; `configure_null("*", NullAccess::Deny)` refuses them in every domain that isn't configured
    /// otherwise. It needs a server socket for which libzmq asks the handler:
    /// [`null_server`](crate::SocketExt::null_server).
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain).
    ///
    /// ```
    /// use zmq_auth::NullAccess;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_null("*", NullAccess::Deny)?;
    /// auth.configure_null("health", NullAccess::Allow)?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_null(&self, domain: &str, access: NullAccess) -> Result<()> {
        domains::check(domain)?;
        self.set_null(domain, NullSource::Access(access));
        log_debug!("domain {domain:?}: NULL clients: {access:?}");
        Ok(())
    }

    /// Lets a callback decide about the domain's NULL clients. See
    /// [`configure_plain_callback`](Self::configure_plain_callback) for where it runs and how it can fail.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_null_callback("health", |peer| peer.ip().is_some_and(|ip| ip.is_loopback()))?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_null_callback<F, V>(&self, domain: &str, callback: F) -> Result<()>
    where
        F: Fn(&Peer) -> V + Send + Sync + 'static,
        V: Into<Verdict>,
    {
        domains::check(domain)?;
        let callback = move |peer: &Peer| callback(peer).into();
        self.set_null(domain, NullSource::Callback(Arc::new(callback), CallbackId::new()));
        log_debug!("domain {domain:?}: NULL by a callback");
        Ok(())
    }

    /// Lets an async callback decide about the domain's NULL clients, as
    /// [`configure_curve_callback_async`](Self::configure_curve_callback_async) does for CURVE.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_null_callback_async("health", |peer| async move { peer.ip().is_some() })?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    #[cfg(feature = "tokio")]
    pub fn configure_null_callback_async<F, Fut, V>(&self, domain: &str, callback: F) -> Result<()>
    where
        F: Fn(Peer) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = V> + Send + 'static,
        V: Into<Verdict>,
    {
        domains::check(domain)?;
        let callback = move |peer: Peer| -> FutureVerdict {
            let verdict = callback(peer);
            Box::pin(async move { verdict.await.into() })
        };
        self.set_null(domain, NullSource::AsyncCallback(Arc::new(callback), CallbackId::new()));
        log_debug!("domain {domain:?}: NULL by an async callback");
        Ok(())
    }

    fn set_null(&self, domain: &str, source: NullSource) {
        let old = self.change(domain, |sources| sources.null.replace(source));
        drop(old);
    }
}
