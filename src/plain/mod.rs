//! PLAIN: the sources of user names and passwords, one for each domain.

mod file;
#[cfg(feature = "argon2")]
mod hash;
mod hash_like;
#[cfg(feature = "argon2")]
mod hashers;
mod index;
mod padded;
mod parse;
mod password;
#[cfg(feature = "argon2")]
mod pushed;
mod table;

use std::hash::BuildHasher;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use zeroize::Zeroizing;

use crate::callback::{Call, CallbackId, Lookup, Peer, Verdict, conclude_plain};
use crate::reason::{Evidence, Fingerprint, Reason, Recheck};
use crate::reload::ReloadObserver;
use crate::zap::Request;
pub use file::PasswordFile;
pub use password::Password;
#[cfg(feature = "argon2")]
pub(crate) use pushed::{PushedUsers, UserChange};
pub(crate) use table::PasswordTable;

pub(crate) type PlainCallback = dyn Fn(&str, &str, &Peer) -> Verdict + Send + Sync;
#[cfg(feature = "tokio")]
pub(crate) type AsyncPlainCallback = dyn Fn(String, Password, Peer) -> crate::callback::FutureVerdict + Send + Sync;

/// The users that a domain accepts.
pub(crate) enum PlainSource {
    Table(PasswordTable),
    /// A file that may change.
    File {
        file: PasswordFile,
        _observer: Arc<ReloadObserver>,
    },
    /// Users that the program pushes.
    #[cfg(feature = "argon2")]
    Pushed {
        users: Arc<PushedUsers>,
        _observer: Arc<ReloadObserver>,
    },
    Callback(Arc<PlainCallback>, CallbackId),
    #[cfg(feature = "tokio")]
    AsyncCallback(Arc<AsyncPlainCallback>, CallbackId),
}

impl PlainSource {
    /// Decides about a user name and a password. With `fingerprint`, the reason carries the password's fingerprint.
    pub(crate) fn check(&self, request: &Request<'_>, username: &[u8], password: &[u8], fingerprint: bool) -> Lookup {
        let accept_if = |is_right| match is_right {
            true => Lookup::Accept(Reason::Password(fingerprint.then(|| fingerprint_of(password))), None),
            false => Lookup::Refuse(Reason::WrongPassword),
        };
        match self {
            PlainSource::Table(table) => accept_if(table.holds(username, password)),
            PlainSource::File { file, .. } => file.read(|table| {
                #[cfg(feature = "argon2")]
                if table.is_hashed() {
                    return Lookup::Ask(hashers::verify_call(table.clone(), username, password));
                }
                accept_if(table.holds(username, password))
            }),
            #[cfg(feature = "argon2")]
            PlainSource::Pushed { users, .. } => match users.contact().check() {
                Ok(()) => Lookup::Ask(hashers::verify_call(users.read(Arc::clone), username, password)),
                Err(stale) => Lookup::Refuse(stale),
            },
            PlainSource::Callback(callback, id) => {
                let Some((user, password, peer)) = arguments(request, username, password) else {
                    return Lookup::Refuse(Reason::UnreadableText);
                };
                let (callback, id) = (callback.clone(), *id);
                Lookup::Ask(Call::new(move || {
                    let verdict = callback(&user, &password, &peer);
                    conclude_plain(verdict, id, || user)
                }))
            }
            #[cfg(feature = "tokio")]
            PlainSource::AsyncCallback(callback, id) => {
                let Some((user, password, peer)) = arguments(request, username, password) else {
                    return Lookup::Refuse(Reason::UnreadableText);
                };
                let (callback, id) = (callback.clone(), *id);
                Lookup::Ask(Call::new_async(move || async move {
                    let verdict = callback(user.clone(), password.into(), peer).await;
                    conclude_plain(verdict, id, || user)
                }))
            }
        }
    }

    /// Whether a user who was accepted on this evidence would be accepted again.
    #[cfg_attr(not(feature = "argon2"), expect(unused_variables, reason = "nothing is pushed"))]
    pub(crate) fn recheck(&self, username: &[u8], evidence: Evidence, which: Recheck) -> Result<(), Reason> {
        let is_current = |table: &PasswordTable| {
            let fingerprint = table.fingerprint(username).ok_or(Reason::WrongPassword)?;
            if evidence == Evidence::Password(fingerprint) { Ok(()) } else { Err(Reason::WrongPassword) }
        };
        match self {
            PlainSource::Table(table) => is_current(table),
            PlainSource::File { file, .. } => file.read(|table| is_current(table)),
            #[cfg(feature = "argon2")]
            PlainSource::Pushed { users, .. } => {
                users.contact().recheck(which)?;
                users.read(|table| is_current(table))
            }
            PlainSource::Callback(_, id) => evidence.holds_for(*id),
            #[cfg(feature = "tokio")]
            PlainSource::AsyncCallback(_, id) => evidence.holds_for(*id),
        }
    }

    /// Whether there is a user of this name; `None` if only the program knows.
    pub(crate) fn lists(&self, username: &[u8]) -> Option<bool> {
        match self {
            PlainSource::Table(table) => Some(table.has(username)),
            PlainSource::File { file, .. } => Some(file.read(|table| table.has(username))),
            #[cfg(feature = "argon2")]
            PlainSource::Pushed { users, .. } => Some(users.read(|table| table.has(username))),
            _ => None,
        }
    }

    /// The file, if the source follows one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            PlainSource::File { file, .. } => Some(file.path()),
            _ => None,
        }
    }

    /// The kind of source, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            PlainSource::Table(_) => "a table of users",
            PlainSource::File { .. } => "a password file",
            #[cfg(feature = "argon2")]
            PlainSource::Pushed { .. } => "pushed credentials",
            PlainSource::Callback(..) => "a callback",
            #[cfg(feature = "tokio")]
            PlainSource::AsyncCallback(..) => "an async callback",
        }
    }
}

/// The arguments of a callback; `None` if something isn't UTF-8.
fn arguments(request: &Request<'_>, username: &[u8], password: &[u8]) -> Option<(String, Zeroizing<String>, Peer)> {
    let user = str::from_utf8(username).ok()?.to_owned();
    let password = Zeroizing::new(str::from_utf8(password).ok()?.to_owned());
    Some((user, password, Peer::of(request)?))
}

/// The fingerprint of a password, or of its hash.
pub(crate) fn fingerprint_of(password: &[u8]) -> Fingerprint {
    static KEY: OnceLock<std::hash::RandomState> = OnceLock::new();
    let hash = KEY.get_or_init(std::hash::RandomState::new).hash_one(password);
    Fingerprint::new(hash).unwrap_or(Fingerprint::MIN)
}

/// libzmq's limit for a user name and for a password (RFC 24): its length is one byte.
const MAX_LENGTH: usize = 255;

/// Why libzmq can't send this user name or password. Servers check it too: they have no use for what no client can send.
pub(crate) fn problem(text: &[u8]) -> Option<&'static str> {
    match text.len() {
        0 => Some("is empty, which libzmq clients can't send"),
        1..=MAX_LENGTH => None,
        _ => Some("is longer than 255 bytes, libzmq's limit: no client could send it"),
    }
}
