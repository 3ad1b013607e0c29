//! The choice of a CURVE client's user id.

use std::sync::Arc;

use super::UserIdMap;

/// The source of a CURVE client's user id, for
/// [`Authenticator::curve_user_id_from`](crate::Authenticator::curve_user_id_from).
///
/// If it isn't known for a client, such as one that a callback or `CURVE_ALLOW_ANY` accepts, the user id is the Z85
/// key.
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
    /// The name of the key's file, without `.key`; of several files, the first. It takes about 80 bytes for each key.
    FileName,
    /// The value of this name in the certificate's metadata, such as `name`; not for a name that is never sent (see
    /// [`Metadata::insert`](crate::Metadata::insert)). Two certificates may have the same value.
    Metadata(String),
}

/// The policy's choice of user ids.
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
