//! The error type. No variant ever holds a secret.

use std::io;
use std::path::PathBuf;

use crate::escape::EscapedPath;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and what to do about it.
///
/// ```
/// use zmq_auth::{Authenticator, Error};
///
/// let auth = Authenticator::new();
/// let error = auth.allow(["10.0.0.0/33"]).unwrap_err();
/// assert!(matches!(error, Error::AddressRule { .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The libzmq in use was built without CURVE.
    #[error(
        "the libzmq in use ({major}.{minor}.{patch}) has no CURVE. Either patch `zmq-sys` in the top-level Cargo.toml \
         ([patch.crates-io] zmq-sys = {{ git = \"…/zmq-auth\" }}), or point Cargo at a libzmq that has it \
         (.cargo/config.toml: [target.<triple>.zmq] rustc-link-lib = [\"dylib=zmq\"]); README.md, \"Two ways to CURVE\""
    )]
    CurveUnavailable {
        /// libzmq's version.
        major: i32,
        /// libzmq's version.
        minor: i32,
        /// libzmq's version.
        patch: i32,
    },
    /// The libzmq in use is older than 4.3.3: CVE-2019-13132 and CVE-2020-15166 let a peer without credentials crash
    /// or exhaust a guarded server.
    #[error(
        "libzmq {major}.{minor}.{patch} is too old to guard a socket (CVE-2019-13132, CVE-2020-15166): use 4.3.3 or later"
    )]
    LibzmqTooOld {
        /// libzmq's version.
        major: i32,
        /// libzmq's version.
        minor: i32,
        /// libzmq's version.
        patch: i32,
    },
    /// What is no CURVE key: 32 bytes, or 40 characters of Z85 (RFC 32) that stand for them.
    #[error("no CURVE key: {0}")]
    Key(&'static str),
    /// The public key is not the one that belongs to the secret key.
    #[error(
        "the public and the secret key are not a pair: load both from one certificate, or use KeyPair::from_secret"
    )]
    KeyMismatch,
    /// The file exists and would have been overwritten. Nothing was written.
    #[error(
        "{}: exists already; remove it, choose another name, or replace it with Certificate::replace_pair",
        EscapedPath(path)
    )]
    Exists {
        /// The file in the way.
        path: PathBuf,
    },
    /// A file or directory could not be used.
    #[error("{}: cannot {action}: {source}", EscapedPath(path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A certificate file that doesn't say what it must. The content is never quoted.
    #[error("{}{}: {problem}", EscapedPath(path), line.map(|l| format!(":{l}")).unwrap_or_default())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where one is to blame.
        line: Option<usize>,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A password file that can't be used as it is. The content is never quoted.
    #[error("{}{}: {problem}", EscapedPath(path), line.map(|l| format!(":{l}")).unwrap_or_default())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where one is to blame.
        line: Option<usize>,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A certificate's name that can't be a file name.
    #[error("certificate name {name:?}: {problem}")]
    CertificateName {
        /// The name that was given.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A metadata name or value that can't be stored or sent.
    #[error("metadata {name:?}: {problem}")]
    Metadata {
        /// The name, cut to 256 bytes.
        name: String,
        /// What is wrong with the name or the value.
        problem: &'static str,
    },
    /// A ZAP domain must have 1 to 255 bytes.
    #[error("a ZAP domain has 1 to 255 bytes, not {length}; to cover every domain, configure \"*\"")]
    Domain {
        /// How many bytes it had.
        length: usize,
    },
    /// An address rule that is no address and no subnet.
    #[error("address rule {rule:?}: {problem}")]
    AddressRule {
        /// The rule, as given, cut to 256 bytes.
        rule: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A PLAIN user name or password that no client could send.
    #[error("PLAIN {what}: {problem}")]
    PlainCredentials {
        /// `"user name"` or `"password"`.
        what: &'static str,
        /// What is wrong with it; never its text.
        problem: &'static str,
    },
    /// A single key can't be added to or removed from a domain whose keys aren't listed.
    #[error("domain {domain:?} decides CURVE by {source_kind}, not by a set of keys: configure_curve_keys replaces it")]
    NoKeySet {
        /// The domain.
        domain: String,
        /// What decides there instead.
        source_kind: &'static str,
    },
    /// A limit outside its range.
    #[error("{what}: {problem}")]
    Limit {
        /// The limit.
        what: &'static str,
        /// The range it must be in.
        problem: &'static str,
    },
    /// The socket is bound or connected: options set now would not apply, and the endpoint would stay open.
    #[error("the socket is bound or connected already: set its security first, on a new socket")]
    AlreadyBound,
    /// Another ZAP handler serves this context: there is one `inproc://zeromq.zap.01` in each.
    #[error("a ZAP handler is already running in this context: stop it first, or share its Authenticator")]
    AlreadyRunning,
    /// The handler thread did not end within a second and was left behind. It lets nobody in any more.
    #[error("the handler thread did not end within {seconds} s (is the program's logger blocked?)")]
    StillRunning {
        /// How long it was waited for.
        seconds: u64,
    },
    /// A thread could not be started.
    #[error("cannot start the handler thread: {0}")]
    Thread(#[source] io::Error),
    /// The pipe that wakes the handler thread could not be made.
    #[error("cannot make the pipe that wakes the handler: {0}")]
    Pipe(#[source] io::Error),
    /// The system gave no random bytes.
    #[error("no randomness from the system: {0}")]
    Random(String),
    /// There is no tokio runtime with I/O and time drivers here.
    #[error("cannot serve from here: {0}; call it in a tokio runtime built with enable_all()")]
    Runtime(String),
    /// A libzmq call failed.
    #[error("libzmq cannot {action}: {source}")]
    Zmq {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// libzmq's answer.
        source: crate::ffi::Errno,
    },
}
