//! Removing a key only if nobody has changed it since.

use async_nats::jetstream::kv::UpdateErrorKind;

use super::connect::failed;
use super::entry::Subject;
use super::writer::{NatsWriter, WRITE};
use crate::authenticator::check_domain;
use crate::error::{Error, Result};
use crate::keys::PublicKey;

impl NatsWriter {
    /// Removes a key if its last change has this revision: to undo a change, but not what somebody else has done since.
    /// To revoke a key, use [`remove_key`](Self::remove_key), which always wins.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the last change has another revision; [`Error::Domain`]; [`Error::Nats`]: the key may or
    /// may not be removed.
    ///
    /// ```no_run
    /// # fn main() -> zmq_auth::Result<()> {
    /// use zmq_auth::{KeyPair, Metadata, NatsBucket};
    ///
    /// let writer = NatsBucket::new("nats://127.0.0.1:4222", "clients")?.writer()?;
    /// let alice = KeyPair::generate()?.public;
    /// let revision = writer.add_key("lab", &alice, &Metadata::default())?;
    /// writer.remove_key_at("lab", &alice, revision)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_key_at(&self, domain: &str, key: &PublicKey, revision: u64) -> Result<()> {
        check_domain(domain)?;
        let name = &Subject::Key(*key).name(domain);
        self.ask(|store| async move {
            let removed = store.delete_expect_revision(name, Some(revision)).await;
            removed.map_err(|error| match error.kind() {
                UpdateErrorKind::WrongLastRevision => Error::Conflict { name: name.clone() },
                _ => failed(WRITE, &error),
            })
        })
    }
}
