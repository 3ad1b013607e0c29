//! The calls that set the sources of a domain, by mechanism.

mod curve;
mod null;
mod plain;

use std::sync::Arc;

use super::{Authenticator, domains};
use crate::audit::EventKind;
use crate::error::Result;
use crate::pushed::PushedCredentials;
use crate::reload::{ReloadEvent, ReloadObserver};
pub use curve::CURVE_ALLOW_ANY;

impl Authenticator {
    /// Accepts the domain's GSSAPI clients, which Kerberos has already authenticated; the principal becomes the user id.
    ///
    /// Without it they are refused with 400. **libzmq through 4.3.5 ignores that refusal for GSSAPI** (its next release
    /// obeys it): with those versions, build libzmq without GSSAPI (the bundled one is) or check the user id of every
    /// message.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_gssapi("realm")?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_gssapi(&self, domain: &str) -> Result<()> {
        domains::check(domain)?;
        self.write().domains.entry(domain).gssapi = Some(());
        log_debug!("domain {domain:?}: GSSAPI");
        Ok(())
    }

    /// Removes all sources of exactly this domain, so that `"*"` covers it again; returns whether it had any.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_gssapi("realm")?;
    /// assert!(auth.remove_domain("realm"));
    /// assert!(!auth.remove_domain("realm"));
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn remove_domain(&self, domain: &str) -> bool {
        let removed = self.write().domains.remove(domain);
        removed.is_some()
    }

    /// Reports pushes to this policy's listeners, as [`reload_observer`](Self::reload_observer) does reloads.
    fn pushed_observer(&self, credentials: &PushedCredentials) -> Arc<ReloadObserver> {
        let observer = self.reload_observer();
        credentials.contact().observers().add(Arc::downgrade(&observer));
        observer
    }

    /// Reports reloads to this policy's listeners, while the policy lives and the observer is kept.
    pub(crate) fn reload_observer(&self) -> Arc<ReloadObserver> {
        let authenticator = self.weak_handle();
        Arc::new(move |event: &ReloadEvent| {
            let Some(authenticator) = authenticator() else { return };
            let audit = authenticator.audit();
            if let Some(summary) = event.summary() {
                audit.publish(EventKind::Reloaded, &summary);
            }
            for problem in &event.problems {
                audit.publish(EventKind::ReloadFailed, &problem.to_string());
            }
            if let Some((behind, text)) = event.behind() {
                audit.publish(if behind { EventKind::StoreBehind } else { EventKind::StoreCaughtUp }, &text);
            }
        })
    }
}

fn announce_pushed(domain: &str, mechanism: &str, credentials: &PushedCredentials) {
    let (name, status) = (credentials.name(), credentials.status());
    if status.is_stale {
        log_warn!("domain {domain:?}: {mechanism} by {name:?}, which is stale: handshakes are told to retry");
    } else {
        log_debug!("domain {domain:?}: {mechanism} by {name:?}: {} keys, {} users", status.keys, status.users);
    }
}

fn announce(domain: &str, mechanism: &str, what: &str, entries: usize) {
    if entries == 0 {
        log_warn!("domain {domain:?}: {mechanism} by {what}, which is empty: nobody is accepted");
    } else {
        log_debug!("domain {domain:?}: {mechanism} by {what}, {entries} in all");
    }
}
