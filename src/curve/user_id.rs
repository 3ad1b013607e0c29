//! The choice of a CURVE client's user id.

use std::sync::Arc;

use super::UserIdMap;

/// Where the user id of a CURVE client comes from, for
/// [`Authenticator::curve_user_id_from`](crate::Authenticator::curve_user_id_from).
///
/// A client of whom it isn't known, such as one that a callback or `CURVE_ALLOW_ANY` accepts, has its Z85 key as its user
/// id.
///
/// ```
/// use zmq_auth::{Authenticator, UserId};
///
/// # let dir = tempfile::tempdir()?;
/// let (public, _) = zmq_auth::create_certificates(&dir, "alice")?;
/// let key = zmq_auth::load_certificate(public)?.0;
/// let auth = Authenticator::new();
/// auth.curve_user_id_from(UserId::FileName);
/// auth.configure_curve("lab", dir.path())?;
///
/// let request: [&[u8]; 7] = [b"1.0", b"1", b"lab", b"127.0.0.1", b"", b"CURVE", key.as_bytes()];
/// let reply = auth.handle_zap_message(&request).expect("more than two frames");
/// assert_eq!(reply[4], b"alice");
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserId {
    /// The Z85 text of the public key.
    #[default]
    Key,
    /// The name of the file with the key, without `.key`; of several, the first. It takes about 80 bytes more for each key.
    FileName,
    /// The value that the certificate's metadata has for this name, such as `name`; not for a name that is never sent (see
    /// [`Metadata::insert`](crate::Metadata::insert)). Nothing keeps two certificates from having the same.
    Metadata(String),
}

/// How CURVE clients are named.
#[derive(Clone)]
pub(crate) enum UserIdSource {
    Certificate(UserId),
    Map(Arc<UserIdMap>),
}

impl Default for UserIdSource {
    fn default() -> Self {
        UserIdSource::Certificate(UserId::Key)
    }
}

impl UserIdSource {
    pub(crate) fn needs_file_names(&self) -> bool {
        matches!(self, UserIdSource::Certificate(UserId::FileName))
    }
}
