//! The error type. No variant ever contains a secret.

use std::path::PathBuf;
use std::{fmt, io};

use crate::escape::EscapedPath;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What failed, where, and what to do about it.
///
/// ```
/// use zmq_auth::{Authenticator, Error};
///
/// let auth = Authenticator::new();
/// let error = auth.allow(["10.0.0.0/33"]).unwrap_err();
/// assert!(matches!(error, Error::AddressRule { .. }));
/// ```
///
/// `Debug` contains the message, after the variant's name, so that a `main` that returns an error says what to do.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The libzmq in use was built without CURVE.
    #[error(
        "the libzmq in use ({major}.{minor}.{patch}) has no CURVE. Either patch `zmq-sys` in the top-level Cargo.toml \
         ([patch.crates-io] zmq-sys = {{ git = \"…/zmq-auth\" }}; then `cargo update -p zmq-sys`), or point Cargo at a libzmq that has it \
         (.cargo/config.toml: [target.<triple>.zmq] rustc-link-lib = [\"dylib=zmq\"]); README.md, \"Two ways to get CURVE\""
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
        "libzmq {major}.{minor}.{patch} is too old to protect a socket (CVE-2019-13132, CVE-2020-15166): use 4.3.3 or later"
    )]
    LibzmqTooOld {
        /// libzmq's version.
        major: i32,
        /// libzmq's version.
        minor: i32,
        /// libzmq's version.
        patch: i32,
    },
    /// Text or bytes that aren't a CURVE key: 32 bytes, or the 40 characters of Z85 (RFC 32) for them.
    #[error("not a CURVE key: {0}")]
    Key(KeyProblem),
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
        /// The existing file.
        path: PathBuf,
    },
    /// A file or directory could not be used.
    #[error("{}: cannot {action}: {source}", EscapedPath(path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// A certificate file with invalid content, which is never quoted.
    #[error("{}{}: {problem}", EscapedPath(path), line.map(|l| format!(":{l}")).unwrap_or_default())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, if one is to blame.
        line: Option<usize>,
        /// The problem.
        problem: &'static str,
    },
    /// A password file with invalid content, which is never quoted.
    #[error("{}{}: {problem}", EscapedPath(path), line.map(|l| format!(":{l}")).unwrap_or_default())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, if one is to blame.
        line: Option<usize>,
        /// The problem.
        problem: &'static str,
    },
    /// A policy file with invalid content. Values are never quoted: they may be passwords.
    #[cfg(feature = "policy")]
    #[error("{}{}: {problem}", EscapedPath(path), place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default())]
    PolicyFile {
        /// The file.
        path: PathBuf,
        /// The line and column, counted from 1, if one is to blame.
        place: Option<(usize, usize)>,
        /// The problem.
        problem: String,
    },
    /// A certificate name that can't be a file name.
    #[error("certificate name {name:?}: {problem}")]
    CertificateName {
        /// The given name.
        name: String,
        /// The problem.
        problem: &'static str,
    },
    /// A metadata name or value that can't be stored or sent.
    #[error("metadata {name:?}: {problem}")]
    Metadata {
        /// The name, cut to 256 bytes.
        name: String,
        /// The problem of the name or the value.
        problem: &'static str,
    },
    /// A ZAP domain must have 1 to 255 bytes.
    #[error("a ZAP domain has 1 to 255 bytes, not {length}; to cover every domain, configure \"*\"")]
    Domain {
        /// The number of bytes it had.
        length: usize,
    },
    /// An address rule that is neither an address nor a subnet.
    #[error("address rule {rule:?}: {problem}")]
    AddressRule {
        /// The rule, as given, cut to 256 bytes.
        rule: String,
        /// The problem.
        problem: &'static str,
    },
    /// A PLAIN user name or password that no client could send.
    #[error("PLAIN {what}: {problem}")]
    PlainCredentials {
        /// `"user name"` or `"password"`.
        what: &'static str,
        /// The problem, without the text itself.
        problem: &'static str,
    },
    /// A key can't be added to or removed from a domain that doesn't use a set of keys.
    #[error(
        "CURVE in domain {domain:?} is decided by {source_kind}, not by a set of keys: configure_curve_keys replaces it"
    )]
    NoKeySet {
        /// The domain.
        domain: String,
        /// The kind of source that decides instead.
        source_kind: &'static str,
    },
    /// A limit outside its range.
    #[error("{what}: {problem}")]
    Limit {
        /// The limit.
        what: &'static str,
        /// The allowed range.
        problem: &'static str,
    },
    /// The socket is already bound or connected: options set now would not apply, and the endpoint would stay unprotected.
    #[error(
        "the socket is already bound or connected: set its security first, on a new socket, or give the next endpoint its \
         own role with bind_as or connect_as"
    )]
    AlreadyBound,
    /// libzmq has no security mechanism for this kind of socket or transport, so a role would have no effect.
    #[error("{what} has no security mechanism in libzmq, so a role would have no effect")]
    NoMechanism {
        /// The socket type or the transport.
        what: String,
    },
    /// The socket's endpoints have their own roles, and this call can't tell which one is meant.
    #[error("the socket's endpoints were made with bind_as or connect_as: use Endpoint::rebind")]
    RolePerEndpoint,
    /// The socket belongs to a context other than the given one.
    #[error("the socket belongs to another context: monitor it with the context that it was opened in")]
    OtherContext,
    /// The connection of a message can't be determined.
    #[error("the connection is unknown: {0}")]
    NoConnection(&'static str),
    /// A connection could not be examined or closed.
    #[error("cannot {action}: {source}")]
    Connection {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The context already has a ZAP handler: each has only one `inproc://zeromq.zap.01`.
    #[error("a ZAP handler is already running in this context: stop it first, or share its Authenticator")]
    AlreadyRunning,
    /// The handler thread did not end within a second and was left behind. It accepts nobody any more.
    #[error("the handler thread did not end within {seconds} s (is the program's logger blocked?)")]
    StillRunning {
        /// How long it was waited for.
        seconds: u64,
    },
    /// A thread could not be started.
    #[error("cannot start the handler thread: {0}")]
    Thread(#[source] io::Error),
    /// The pipe that wakes the handler thread could not be created.
    #[error("cannot create the pipe that wakes the handler: {0}")]
    Pipe(#[source] io::Error),
    /// The system provided no random bytes.
    #[error("the system provides no random bytes: {0}")]
    Random(String),
    /// There is no current tokio runtime with I/O and time drivers.
    #[error("no usable tokio runtime: {0}; call this in a runtime built with enable_all()")]
    Runtime(String),
    /// NATS can't be reached, or rejects a request. The error contains no password.
    #[cfg(feature = "nats")]
    #[error("NATS: cannot {action}: {problem}")]
    Nats {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// The error of NATS or of its client.
        problem: String,
    },
    /// Somebody else changed or created the bucket entry meanwhile. Nothing was written.
    #[cfg(feature = "nats")]
    #[error("entry {name} already exists, or has been changed meanwhile: read it again")]
    Conflict {
        /// The entry's name.
        name: String,
    },
    /// A libzmq call failed.
    #[error("libzmq cannot {action}: {source}")]
    Zmq {
        /// What was tried, as a verb phrase.
        action: &'static str,
        /// libzmq's error.
        source: crate::ffi::Errno,
    },
}

/// For `?` on calls of the `zmq` crate, in a function that returns this crate's [`Result`].
///
/// ```
/// use zmq_auth::{SocketExt, zmq};
///
/// fn server(context: &zmq::Context) -> zmq_auth::Result<zmq::Socket> {
///     let mut server = context.socket(zmq::REP)?;
///     server.null_server("lab")?;
///     server.bind("tcp://127.0.0.1:*")?;
///     Ok(server)
/// }
/// # server(&zmq::Context::new()).unwrap();
/// ```
impl From<zmq::Error> for Error {
    fn from(error: zmq::Error) -> Self {
        Error::Zmq { action: "perform the call", source: error.into() }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {self}", self.variant())
    }
}

impl Error {
    fn variant(&self) -> &'static str {
        match self {
            Error::CurveUnavailable { .. } => "CurveUnavailable",
            Error::LibzmqTooOld { .. } => "LibzmqTooOld",
            Error::Key(_) => "Key",
            Error::KeyMismatch => "KeyMismatch",
            Error::Exists { .. } => "Exists",
            Error::Io { .. } => "Io",
            Error::Certificate { .. } => "Certificate",
            Error::PasswordFile { .. } => "PasswordFile",
            #[cfg(feature = "policy")]
            Error::PolicyFile { .. } => "PolicyFile",
            Error::CertificateName { .. } => "CertificateName",
            Error::Metadata { .. } => "Metadata",
            Error::Domain { .. } => "Domain",
            Error::AddressRule { .. } => "AddressRule",
            Error::PlainCredentials { .. } => "PlainCredentials",
            Error::NoKeySet { .. } => "NoKeySet",
            Error::Limit { .. } => "Limit",
            Error::AlreadyBound => "AlreadyBound",
            Error::NoMechanism { .. } => "NoMechanism",
            Error::RolePerEndpoint => "RolePerEndpoint",
            Error::OtherContext => "OtherContext",
            Error::NoConnection(_) => "NoConnection",
            Error::Connection { .. } => "Connection",
            Error::AlreadyRunning => "AlreadyRunning",
            Error::StillRunning { .. } => "StillRunning",
            Error::Thread(_) => "Thread",
            Error::Pipe(_) => "Pipe",
            Error::Random(_) => "Random",
            Error::Runtime(_) => "Runtime",
            #[cfg(feature = "nats")]
            Error::Nats { .. } => "Nats",
            #[cfg(feature = "nats")]
            Error::Conflict { .. } => "Conflict",
            Error::Zmq { .. } => "Zmq",
        }
    }
}

/// Why text or bytes aren't a CURVE key: their number and kind, never their content.
///
/// ```
/// use zmq_auth::PublicKey;
///
/// let error = "0123456789abcdef".repeat(4).parse::<PublicKey>().unwrap_err();
/// assert!(error.to_string().contains("looks like hex (it has 64)"), "{error}");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyProblem {
    problem: &'static str,
    found: Option<usize>,
}

impl KeyProblem {
    pub(crate) const fn new(problem: &'static str) -> Self {
        KeyProblem { problem, found: None }
    }

    pub(crate) const fn with_length(problem: &'static str, found: usize) -> Self {
        KeyProblem { problem, found: Some(found) }
    }

    /// The problem without its number.
    pub(crate) const fn text(self) -> &'static str {
        self.problem
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.problem)?;
        self.found.map_or(Ok(()), |found| write!(f, " (it has {found})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_what_to_do() {
        let error = Error::CurveUnavailable { major: 4, minor: 3, patch: 4 };
        let shown = format!("{error:?}");
        assert!(shown.starts_with("CurveUnavailable: ") && shown.contains("[patch.crates-io]"), "{shown}");
        let boxed: Box<dyn std::error::Error> = Error::AlreadyRunning.into();
        assert!(format!("{boxed:?}").contains("stop it first"));
    }
}
