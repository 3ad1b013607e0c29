//! Policy files: a whole policy in one TOML file, with reloads.

mod format;
mod read;
mod source;
mod stores;

use std::fmt;
use std::hash::RandomState;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::authenticator::Authenticator;
use crate::error::{Error, Result};
use crate::reload::{ReloadObserver, ReloadSummary, SingleFile, Store, StoreStatus, lock, read_file};
use source::{PolicySource, fault, parent};
use stores::Stores;

/// A policy in a TOML file. Changes to the file apply on [`reload`](Self::reload), or automatically after `watch`
/// (feature `watch`). Clones are handles on the same file.
///
/// ```toml
/// [addresses]
/// allow = ["10.0.0.0/8", "::1"]
/// deny = ["10.0.0.66"]
/// allow_ipc = [{ user = 1000 }, { group = 27 }]          # or "any"; Linux
///
/// [limits]
/// failures = { count = 20, within = "1m", pause = "5m" } # wrong passwords
/// callbacks = { at_once = 64, deadline = "5s", async_at_once = 1024 }
/// message_size = "1 MiB"                                 # see `PolicyFile::message_size`
///
/// [revocation]
/// checks = true                                          # for `is_still_allowed`
///
/// [domain.lab]
/// curve = { directory = "clients", user_id = "name" }    # or "key", or { metadata = "name" }
/// plain = { file = "passwords" }
/// null = "deny"                                          # or "allow"
///
/// [domain."*"]                                           # every domain without a source of its own
/// curve = { keys = ["rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"] } # or { any = true }
/// plain = { clear_passwords = { alice = "for a test" } }
/// gssapi = true
/// ```
///
/// With the feature `nats`, keys and users may be in a NATS bucket: the page `fleet` shows the lines for it.
///
/// Each line does what the corresponding call of [`Authenticator`] does, and a missing table leaves the default of a
/// new [`Authenticator`]: NULL clients are accepted, all others refused. Relative paths start at the file's directory.
/// Anything unknown to the format is an error with its line and column. So is an empty allow list, which would refuse
/// nobody, and a domain without a mechanism, which `"*"` would decide. A file can't contain callbacks: set them on
/// [`authenticator`](Self::authenticator).
///
/// A reload atomically replaces everything that the file named before or names now. Whatever else the program has
/// configured stays, and so do counted failures. **A bad file changes nothing**: [`status`](Self::status), the log and
/// an event report its problem. The key directories and password files that it names are reloaded with it; one with a
/// problem keeps its previous content.
///
/// Replace the file by a rename; don't write it in place, since a reload may read it half-written. If the last line has
/// no line feed, or something is gone from the file, a reload accepts it only if it was replaced by a rename or has
/// been unchanged for 2 s. A file that names nothing at all is an error. If it has `clear_passwords` and others can
/// read it, a warning is logged. Clear passwords are meant for tests: the parser's copies of them aren't wiped from
/// memory.
///
/// ```
/// use zmq_auth::PolicyFile;
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("policy.toml");
/// std::fs::write(&path, "[domain.lab]\nplain = { clear_passwords = { alice = \"for a test\" } }\nnull = \"deny\"\n")?;
/// let policy = PolicyFile::open(&path)?;
/// let context = zmq_auth::zmq::Context::new();
/// let _running = policy.authenticator().start(&context)?;
///
/// std::fs::write(&path, "[domain.lab]\nplain = \"bob\"\n")?;
/// let error = policy.reload().unwrap_err(); // and the policy is what it was
/// assert!(error.to_string().ends_with("policy.toml:2:9: invalid value; expected a table"), "{error}");
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone)]
pub struct PolicyFile {
    store: Store<PolicySource>,
    // Publishes reloads of the file itself.
    _observer: Arc<ReloadObserver>,
}

impl PolicyFile {
    /// Reads a file and the stores that it names into a new [`Authenticator`].
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be read; [`Error::PolicyFile`], with line and column, for an error in it, and if
    /// a store that it names can't be opened.
    ///
    /// ```
    /// # use zmq_auth::{Error, PolicyFile};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// std::fs::write(&path, "[addresses]\nallow = [\"10.0.0.0/33\"]\n")?;
    /// assert!(matches!(PolicyFile::open(&path), Err(Error::PolicyFile { place: Some((2, 10)), .. })));
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_following(path.as_ref(), true)
    }

    /// As [`open`](Self::open), but only to look at a policy: NATS buckets that it names aren't followed, so their
    /// clients would be told to retry, and [`stores`](Self::stores) leaves them out.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// # std::fs::write(&path, "[domain.lab]\nnull = \"deny\"\n")?;
    /// let policy = zmq_auth::PolicyFile::inspect(&path)?;
    /// assert!(policy.stores().is_empty());
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn inspect(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_following(path.as_ref(), false)
    }

    fn open_following(path: &Path, follows: bool) -> Result<Self> {
        let authenticator = Authenticator::new();
        let observer = authenticator.reload_observer();
        let store = Store::open(path, PolicySource::new(authenticator, follows), SingleFile::new())?;
        store.observe(Arc::downgrade(&observer));
        Ok(PolicyFile { store, _observer: observer })
    }

    /// All problems of a file and of the stores that it names, in the order of its lines; empty for a good file. The
    /// first is the error that [`open`](Self::open) returns. If the file isn't TOML or doesn't have the format of a
    /// policy, only the first problem is found. NATS buckets aren't contacted.
    ///
    /// ```
    /// # use zmq_auth::PolicyFile;
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// std::fs::write(&path, "[addresses]\nallow = [\"10.0.0.0/33\"]\ndeny = [\"localhost\"]\n")?;
    /// let problems = PolicyFile::problems(&path);
    /// assert!(problems[0].to_string().contains("policy.toml:2:10: "));
    /// assert!(problems[1].to_string().contains("policy.toml:3:9: ") && problems.len() == 2);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn problems(path: impl AsRef<Path>) -> Vec<Error> {
        let path = path.as_ref();
        let content = match read_file(path, fault) {
            Ok(content) => content,
            Err(error) => return vec![error],
        };
        let (none, authenticator) = (Stores::default(), Authenticator::new());
        let result = read::read(&content, parent(path), &none, &RandomState::new(), &authenticator);
        result.err().into_iter().flatten().map(|problem| problem.into_error(path)).collect()
    }

    /// The policy that the file configures. Start it, and configure callbacks and whatever else the file can't.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// # std::fs::write(&path, "[domain.lab]\nnull = \"deny\"\n")?;
    /// let policy = zmq_auth::PolicyFile::open(&path)?;
    /// policy.authenticator().configure_null_callback("health", |peer| peer.ip().is_some())?;
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn authenticator(&self) -> &Authenticator {
        &self.store.source().authenticator
    }

    /// Compares the file and its stores with the disk and applies all changes. The summary counts the file's tables.
    ///
    /// # Errors
    /// As [`open`](Self::open): nothing of the file is applied then, but its stores are reloaded. Otherwise the first
    /// error of a store: that store stays as it was, while the file and the other stores are up to date.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// # std::fs::write(&path, "[domain.lab]\nnull = \"deny\"\n")?;
    /// let policy = zmq_auth::PolicyFile::open(&path)?;
    /// std::fs::write(&path, "[domain.lab]\nnull = \"deny\"\n[domain.shop]\nnull = \"allow\"\n")?;
    /// assert_eq!(policy.reload()?.added, 1);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn reload(&self) -> Result<ReloadSummary> {
        let before = lock(&self.store.source().applied).stores.clone();
        let stores_reloaded = before.reload();
        let summary = self.store.reload()?;
        stores_reloaded.map(|()| summary)
    }

    /// The state and the problems of the file; `entries` counts its tables.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// # std::fs::write(&path, "[domain.lab]\nnull = \"deny\"\n")?;
    /// assert_eq!(zmq_auth::PolicyFile::open(&path)?.status().entries, 1);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn status(&self) -> StoreStatus {
        self.store.status()
    }

    /// The key directories, password files and buckets that the file names, each with its status.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// # std::fs::create_dir(dir.path().join("clients"))?;
    /// # std::fs::write(&path, "[domain.lab]\ncurve = { directory = \"clients\" }\n")?;
    /// for (path, status) in zmq_auth::PolicyFile::open(&path)?.stores() {
    ///     println!("{}: {} keys or users", path.display(), status.entries);
    /// }
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn stores(&self) -> Vec<(PathBuf, StoreStatus)> {
        let stores = lock(&self.store.source().applied).stores.clone();
        stores.statuses(self.store.source().follows)
    }

    /// The largest message, in bytes, that the file allows a server to receive. It is a socket option, which an
    /// [`Authenticator`] can't set: set it before `bind`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// # std::fs::write(&path, "[limits]\nmessage_size = \"1 MiB\"\n")?;
    /// # let server = zmq_auth::zmq::Context::new().socket(zmq_auth::zmq::REP)?;
    /// let policy = zmq_auth::PolicyFile::open(&path)?;
    /// if let Some(bytes) = policy.message_size() {
    ///     server.set_maxmsgsize(bytes as i64)?; // at most i64::MAX
    /// }
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn message_size(&self) -> Option<u64> {
        lock(&self.store.source().applied).message_size
    }

    /// The file's path.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// # std::fs::write(&path, "[domain.lab]\nnull = \"deny\"\n")?;
    /// assert_eq!(zmq_auth::PolicyFile::open(&path)?.path(), path);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.store.path()
    }

    /// Reloads automatically from now on, as [`PasswordFile::watch`](crate::PasswordFile::watch) does, including the
    /// stores that the file names now or later. Each of them costs two threads.
    ///
    /// # Errors
    /// [`Error::Io`] if the system can't watch one of their directories or start a thread.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("policy.toml");
    /// # std::fs::write(&path, "[domain.lab]\nnull = \"deny\"\n")?;
    /// let policy = zmq_auth::PolicyFile::open(&path)?;
    /// policy.watch()?;
    /// assert!(policy.status().watched);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    #[cfg(feature = "watch")]
    pub fn watch(&self) -> Result<()> {
        {
            let mut applied = lock(&self.store.source().applied);
            applied.stores.watch()?;
            applied.watched = true;
        }
        self.store.watch()
    }

    /// The JSON schema of policy files, generated from the types that parse them.
    ///
    /// ```
    /// assert_eq!(zmq_auth::PolicyFile::json_schema()["title"], "zmq-auth policy");
    /// ```
    #[cfg(feature = "cli")]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(format::PolicyText).to_value()
    }
}

impl fmt::Debug for PolicyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyFile").field("path", &self.path()).finish_non_exhaustive()
    }
}
