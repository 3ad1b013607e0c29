//! Every certificate of a directory.

use std::collections::HashSet;
use std::path::Path;

use crate::error::Result;
use crate::keys::PublicKey;
use crate::store;

/// Loads the public keys of every `*.key` in a directory: not of hidden files, not of directories below.
///
/// Two files with one key are one key. An empty directory gives an empty set.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if the directory can't be listed. One file that [`Certificate::load`](crate::Certificate::load) refuses
/// fails the whole call with the error that names it; of several, the first in the order of their names. So does a
/// certificate whose `not-before` or `not-after` can't be read; **the times themselves aren't looked at**, for a set of
/// keys can't hold them: [`KeyDirectory`](crate::KeyDirectory) and
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
    Ok(store::load_keys(dir.as_ref())?.into_keys().collect())
}
