//! The last change of a key or a user.

use std::time::SystemTime;

use async_nats::jetstream::kv::{Operation, Store};

use super::connect::failed;
use super::entry::Subject;
use super::writer::{BucketEntry, NatsWriter, read_entry};
use crate::authenticator::check_domain;
use crate::error::Result;
use crate::keys::PublicKey;

/// The last change of a key or a user, from [`NatsWriter::last_change_of_key`] and
/// [`last_change_of_user`](NatsWriter::last_change_of_user).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastChange {
    /// The revision, for [`NatsWriter::replace_key`] and [`replace_user`](NatsWriter::replace_user), which write only
    /// if nothing else was written since. For a key or user that was never written, pass 0.
    pub revision: u64,
    /// When it was written, by the cluster's clock.
    pub written: SystemTime,
    /// The entry; `None` if the key or the user was removed.
    pub entry: Option<BucketEntry>,
}

impl NatsWriter {
    /// The last change of a key; `None` if it was never written, or if no marker of its removal is left.
    ///
    /// # Errors
    /// [`Error::Domain`](crate::Error::Domain); [`Error::Nats`](crate::Error::Nats).
    ///
    /// ```no_run
    /// # fn main() -> zmq_auth::Result<()> {
    /// use zmq_auth::{KeyPair, Metadata, NatsBucket};
    ///
    /// let writer = NatsBucket::new("nats://127.0.0.1:4222", "clients")?.writer()?;
    /// let alice = KeyPair::generate()?.public;
    /// let seen = writer.last_change_of_key("lab", &alice)?;
    /// if seen.as_ref().is_some_and(|seen| seen.entry.is_none()) {
    ///     println!("was removed by somebody"); // `add_key` would bring it back
    /// } else {
    ///     // Written only if nobody else was faster.
    ///     writer.replace_key("lab", &alice, &Metadata::default(), seen.map_or(0, |seen| seen.revision))?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn last_change_of_key(&self, domain: &str, key: &PublicKey) -> Result<Option<LastChange>> {
        self.last_change(domain, &Subject::Key(*key))
    }

    /// The last change of a user, as [`last_change_of_key`](Self::last_change_of_key) for a key.
    ///
    /// # Errors
    /// As [`last_change_of_key`](Self::last_change_of_key).
    pub fn last_change_of_user(&self, domain: &str, name: &str) -> Result<Option<LastChange>> {
        self.last_change(domain, &Subject::User(name.into()))
    }

    fn last_change(&self, domain: &str, subject: &Subject) -> Result<Option<LastChange>> {
        check_domain(domain)?;
        let name = &subject.name(domain);
        let look =
            |store: Store| async move { store.entry(name).await.map_err(|error| failed("read the entry", &error)) };
        let entry = self.ask(look)?;
        Ok(entry.map(|entry| LastChange {
            revision: entry.revision,
            written: entry.created.into(),
            entry: (entry.operation == Operation::Put).then(|| read_entry(name, entry.revision, &entry.value)),
        }))
    }
}
