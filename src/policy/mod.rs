//! Who is let in: the rules, and the handle that changes them while handshakes are decided.

mod address;
mod call;
mod curve;
mod decide;
mod domain;
mod peer;
mod plain;
mod reason;
mod verdict;

pub(crate) use address::PeerAddress;
pub use address::{IpcCredentials, IpcRule};
pub(crate) use call::{Answer, Call};
pub(crate) use decide::Outcome;
pub(crate) use domain::check as check_domain;
pub use peer::Peer;
pub(crate) use plain::problem as plain_problem;
pub(crate) use reason::Reason;
pub use verdict::Verdict;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use crate::audit::{Audit, Counters, TARGET};
use crate::error::{Error, Result};
use crate::keys::{Password, PublicKey};
use crate::zap::{Parsed, Reply, Request, Subject};
use address::{AddressList, AddressRules};
use call::UserIdMap;
use curve::{CurveSource, KeyDirectory};
use domain::{Domains, Sources};
use plain::{PasswordTable, PlainSource};

/// As the location of [`Authenticator::configure_curve`]: let every CURVE client of the domain in. It has proved that it
/// holds some secret key, and nothing else.
pub const CURVE_ALLOW_ANY: &str = "*";

const DEFAULT_CALLS: usize = 64;
const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// Decides who may connect. A clone is a handle on the same policy.
///
/// A new one lets NULL clients in and denies PLAIN, CURVE and GSSAPI, as pyzmq's does. Every method takes `&self`, may be
/// called at any time from any thread and from callbacks, and is in force for every handshake that begins after it
/// returned. A call that answers an `Err` has changed nothing.
///
/// # Domains
///
/// A domain is 1 to 255 bytes, compared byte for byte. A request is decided by the source of exactly its domain, else by
/// that of `"*"`, for each mechanism apart. The empty domain of a socket that has none is covered by `"*"` alone. A domain
/// has one PLAIN and one CURVE source: configuring it again replaces the source, whole and at once.
///
/// # Addresses
///
/// Address rules hold for all domains and mechanisms and are looked at first. Deny wins; once an allow rule exists, only
/// what an allow rule covers is let on (to its mechanism, which still decides). `::ffff:a.b.c.d` is the IPv4 address. An
/// ipc client isn't touched by IP denials, and is kept out by an allow list unless
/// [`allow_ipc`](Authenticator::allow_ipc) covers it. An address that is neither is refused as soon as a rule exists.
///
/// ```
/// use zmq_auth::Authenticator;
///
/// let auth = Authenticator::new();
/// auth.allow(["127.0.0.1", "10.0.0.0/8"])?;
/// auth.configure_plain("shop", [("alice", "correct horse battery staple")])?;
///
/// let context = zmq_auth::zmq::Context::new();
/// let running = auth.start(&context)?; // stops when dropped
/// # running.stop()?;
/// # Ok::<(), zmq_auth::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

struct Shared {
    policy: RwLock<Policy>,
    audit: Audit,
    calls_at_once: AtomicUsize,
    deadline_ms: AtomicU64,
}

/// The rules at one moment.
#[derive(Default)]
pub(crate) struct Policy {
    addresses: AddressRules,
    domains: Domains,
    user_id: Option<Arc<UserIdMap>>,
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            policy: RwLock::default(),
            audit: Audit::default(),
            calls_at_once: AtomicUsize::new(DEFAULT_CALLS),
            deadline_ms: AtomicU64::new(DEFAULT_DEADLINE.as_millis() as u64),
        }
    }
}

impl Authenticator {
    /// NULL let in; PLAIN, CURVE and GSSAPI denied.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds addresses and subnets to the allow list: `"10.0.0.7"`, `"192.168.1.0/24"`, `"::1"`, `"fd00::/8"`.
    ///
    /// # Errors
    /// [`Error::AddressRule`] for the first rule that is neither; none of the call's rules is taken then.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.allow(["10.0.0.0/8", "::1"])?;
    /// assert!(auth.allow(["10.1.0.0/16", "localhost"]).is_err());
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn allow<I>(&self, addresses: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let rules = address::parse_rules(addresses)?;
        log::debug!(target: TARGET, "allow: {} address rules added", rules.len());
        self.write().addresses.allow.ip.extend(rules);
        Ok(())
    }

    /// Adds addresses and subnets to the deny list, which wins over the allow list.
    ///
    /// # Errors
    /// As [`allow`](Self::allow).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.allow(["10.0.0.0/8"])?;
    /// auth.deny(["10.0.0.66"])?; // the rest of 10.0.0.0/8 is let on
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn deny<I>(&self, addresses: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let rules = address::parse_rules(addresses)?;
        log::debug!(target: TARGET, "deny: {} address rules added", rules.len());
        self.write().addresses.deny.ip.extend(rules);
        Ok(())
    }

    /// Replaces both address lists at once; an empty one is no list. The ipc rules stay.
    ///
    /// # Errors
    /// As [`allow`](Self::allow).
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.set_addresses(["10.0.0.0/8"], ["10.0.0.66"])?;
    /// auth.set_addresses([""; 0], [""; 0])?; // no address rules any more
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn set_addresses<A, D>(&self, allow: A, deny: D) -> Result<()>
    where
        A: IntoIterator,
        A::Item: AsRef<str>,
        D: IntoIterator,
        D::Item: AsRef<str>,
    {
        let list = |rules| -> AddressList {
            let mut list = AddressList::default();
            list.ip.extend(rules);
            list
        };
        let mut allow = list(address::parse_rules(allow)?);
        let mut deny = list(address::parse_rules(deny)?);
        log::debug!(target: TARGET, "address rules replaced");
        let mut policy = self.write();
        std::mem::swap(&mut policy.addresses.allow.ip, &mut allow.ip);
        std::mem::swap(&mut policy.addresses.deny.ip, &mut deny.ip);
        // The old lists are freed behind the lock.
        drop(policy);
        Ok(())
    }

    /// Adds rules to the allow list for `ipc://` clients, by the user and group that the kernel tells (Linux).
    ///
    /// There is one allow list: with an ipc rule in it and no address, IP clients are kept out, and the reverse.
    ///
    /// ```
    /// use zmq_auth::IpcRule;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.allow_ipc([IpcRule::User(1000)]);
    /// ```
    pub fn allow_ipc<I>(&self, rules: I)
    where
        I: IntoIterator<Item = IpcRule>,
    {
        let rules: Vec<IpcRule> = rules.into_iter().collect();
        self.write().addresses.allow.ipc.extend(rules);
    }

    /// Adds rules to the deny list for `ipc://` clients; it wins over the allow list.
    ///
    /// ```
    /// use zmq_auth::IpcRule;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.deny_ipc([IpcRule::Any]); // no ipc clients; IP clients as before
    /// ```
    pub fn deny_ipc<I>(&self, rules: I)
    where
        I: IntoIterator<Item = IpcRule>,
    {
        let rules: Vec<IpcRule> = rules.into_iter().collect();
        self.write().addresses.deny.ipc.extend(rules);
    }

    /// Replaces both ipc lists at once. The addresses stay.
    ///
    /// ```
    /// use zmq_auth::IpcRule;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.set_ipc([IpcRule::Group(27)], []);
    /// ```
    pub fn set_ipc<A, D>(&self, allow: A, deny: D)
    where
        A: IntoIterator<Item = IpcRule>,
        D: IntoIterator<Item = IpcRule>,
    {
        let (allow, deny) = (allow.into_iter().collect(), deny.into_iter().collect());
        let mut policy = self.write();
        policy.addresses.allow.ipc = allow;
        policy.addresses.deny.ipc = deny;
    }

    /// Sets the domain's users and their passwords, compared as bytes and in constant time. An empty table is legal and
    /// lets nobody in.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::PlainCredentials`] for an empty name or password, or one of more than 255 bytes: no
    /// libzmq client could send it.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_plain("shop", [("alice", "correct horse battery staple")])?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_plain<I, U, P>(&self, domain: &str, passwords: I) -> Result<()>
    where
        I: IntoIterator<Item = (U, P)>,
        U: Into<String>,
        P: Into<Password>,
    {
        domain::check(domain)?;
        let table = PasswordTable::new(passwords)?;
        let users = table.len();
        self.set_plain(domain, PlainSource::Table(table));
        announce(domain, "PLAIN", "a table of users", users);
        Ok(())
    }

    /// Lets the callback decide the domain's PLAIN clients.
    ///
    /// It gets the user name, the password and the [`Peer`]; it runs on a thread of its own, with no lock held, and may
    /// call any method of the `Authenticator`. A panic or an `Err` refuses this one client with 500. A name or password
    /// that is no UTF-8 is refused (400) without asking.
    ///
    /// # Errors
    /// [`Error::Domain`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_plain_callback("shop", |user, password, _peer| user == "alice" && password == "secret")?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_plain_callback<F, V>(&self, domain: &str, callback: F) -> Result<()>
    where
        F: Fn(&str, &str, &Peer) -> V + Send + Sync + 'static,
        V: Into<Verdict>,
    {
        domain::check(domain)?;
        let callback = move |user: &str, password: &str, peer: &Peer| callback(user, password, peer).into();
        self.set_plain(domain, PlainSource::Callback(Arc::new(callback)));
        log::debug!(target: TARGET, "domain {domain:?}: PLAIN by a callback");
        Ok(())
    }

    /// Lets in the keys of all `*.key` files of a directory, or every client with [`CURVE_ALLOW_ANY`].
    ///
    /// The directory is read once, now; call it again after a change. A certificate's metadata becomes properties of
    /// its client's messages, but for the names that libzmq gives a meaning to. An empty directory is legal, lets nobody
    /// in, and is warned about.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::Io`] and [`Error::Certificate`], which name the file. The old source stays in force.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let directory = tempfile::tempdir()?;
    /// auth.configure_curve("lab", directory.path())?;
    /// auth.configure_curve("open", zmq_auth::CURVE_ALLOW_ANY)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn configure_curve(&self, domain: &str, location: impl AsRef<Path>) -> Result<()> {
        domain::check(domain)?;
        let location = location.as_ref();
        if location.as_os_str() == CURVE_ALLOW_ANY {
            self.set_curve(domain, CurveSource::Any);
            log::debug!(target: TARGET, "domain {domain:?}: CURVE for any key");
            return Ok(());
        }
        let directory = KeyDirectory::load(location)?;
        let keys = directory.len();
        self.set_curve(domain, CurveSource::Directory(directory));
        announce(domain, "CURVE", "a directory of keys", keys);
        Ok(())
    }

    /// Lets in these client keys and no others.
    ///
    /// # Errors
    /// [`Error::Domain`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let client = zmq_auth::PublicKey::from([7; 32]);
    /// auth.configure_curve_keys("lab", [client])?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_curve_keys<I>(&self, domain: &str, keys: I) -> Result<()>
    where
        I: IntoIterator<Item = PublicKey>,
    {
        domain::check(domain)?;
        let keys: std::collections::HashSet<PublicKey> = keys.into_iter().collect();
        let count = keys.len();
        self.set_curve(domain, CurveSource::Keys(keys));
        announce(domain, "CURVE", "a set of keys", count);
        Ok(())
    }

    /// Lets one more key in, for this domain; a domain without a CURVE source gets one with this key alone.
    ///
    /// A key that is added to a directory's keys is in force until the directory is configured again.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::NoKeySet`] where the domain lets any key in or asks a callback.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let client = zmq_auth::PublicKey::from([7; 32]);
    /// auth.add_curve_key("lab", client)?;
    /// assert!(auth.remove_curve_key("lab", &client)?);
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn add_curve_key(&self, domain: &str, key: PublicKey) -> Result<()> {
        domain::check(domain)?;
        let mut policy = self.write();
        let source = policy.domains.entry(domain).curve.get_or_insert_with(|| CurveSource::Keys(Default::default()));
        source.add(key).map_err(|source_kind| Error::NoKeySet { domain: domain.to_owned(), source_kind })
    }

    /// Takes one key out of the domain's set; tells whether it was there. Clients that are connected stay connected.
    ///
    /// # Errors
    /// [`Error::Domain`]; [`Error::NoKeySet`] where the domain lets any key in or asks a callback: the key can't be kept
    /// out there.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let client = zmq_auth::PublicKey::from([7; 32]);
    /// assert!(!auth.remove_curve_key("lab", &client)?);
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn remove_curve_key(&self, domain: &str, key: &PublicKey) -> Result<bool> {
        domain::check(domain)?;
        let mut policy = self.write();
        match policy.domains.get_mut(domain).and_then(|sources| sources.curve.as_mut()) {
            None => Ok(false),
            Some(source) => {
                source.remove(key).map_err(|source_kind| Error::NoKeySet { domain: domain.to_owned(), source_kind })
            }
        }
    }

    /// Lets the callback decide the domain's CURVE clients. See
    /// [`configure_plain_callback`](Self::configure_plain_callback) for where it runs and how it can fail.
    ///
    /// # Errors
    /// [`Error::Domain`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let known = zmq_auth::PublicKey::from([7; 32]);
    /// auth.configure_curve_callback("lab", move |key, _peer| *key == known)?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_curve_callback<F, V>(&self, domain: &str, callback: F) -> Result<()>
    where
        F: Fn(&PublicKey, &Peer) -> V + Send + Sync + 'static,
        V: Into<Verdict>,
    {
        domain::check(domain)?;
        let callback = move |key: &PublicKey, peer: &Peer| callback(key, peer).into();
        self.set_curve(domain, CurveSource::Callback(Arc::new(callback)));
        log::debug!(target: TARGET, "domain {domain:?}: CURVE by a callback");
        Ok(())
    }

    /// Lets in the domain's GSSAPI clients, whom Kerberos has authenticated already; the principal becomes the user id.
    ///
    /// Without it they are answered 400. **libzmq through 4.3.5 ignores that answer for GSSAPI** (its next release obeys
    /// it): with those versions, leave GSSAPI out of the build (the vendored libzmq does) or check the user id of every
    /// message.
    ///
    /// # Errors
    /// [`Error::Domain`].
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.configure_gssapi("realm")?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn configure_gssapi(&self, domain: &str) -> Result<()> {
        domain::check(domain)?;
        self.write().domains.entry(domain).gssapi = Some(());
        log::debug!(target: TARGET, "domain {domain:?}: GSSAPI");
        Ok(())
    }

    /// Forgets all sources of exactly this domain, which is then covered by `"*"` again; tells whether it had any.
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

    /// Names CURVE clients: the `User-Id` of their messages. The default is the Z85 text of their public key.
    ///
    /// The map is called for clients that are let in (but for [`Verdict::AllowAs`], which names them itself), where
    /// callbacks are called. One that panics refuses its client with 500.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// # let alice = zmq_auth::PublicKey::from([7; 32]);
    /// auth.curve_user_id(move |key| if *key == alice { "alice".into() } else { key.to_string() });
    /// ```
    pub fn curve_user_id<F>(&self, map: F)
    where
        F: Fn(&PublicKey) -> String + Send + Sync + 'static,
    {
        let old = self.write().user_id.replace(Arc::new(map));
        drop(old);
    }

    /// Bounds the callbacks of the handler thread: how many may be under way at once (default 64), and how long one may
    /// take, counted from the arrival of its request (default 5 s). Beyond either the client is answered 300. In force
    /// for the requests that come after.
    ///
    /// # Errors
    /// [`Error::Limit`] for no callbacks at once or more than 4,096, and for a deadline below 1 ms or above an hour.
    ///
    /// ```
    /// use std::time::Duration;
    /// # let auth = zmq_auth::Authenticator::new();
    /// auth.limit_callbacks(16, Duration::from_secs(2))?;
    /// # Ok::<(), zmq_auth::Error>(())
    /// ```
    pub fn limit_callbacks(&self, at_once: usize, deadline: Duration) -> Result<()> {
        if !(1..=4096).contains(&at_once) {
            return Err(Error::Limit { what: "callbacks at once", problem: "must be 1 to 4,096" });
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&deadline) {
            return Err(Error::Limit { what: "callback deadline", problem: "must be 1 ms to 1 h" });
        }
        self.shared.calls_at_once.store(at_once, Ordering::Relaxed);
        self.shared.deadline_ms.store(deadline.as_millis() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// What was decided so far, through every handler of this policy.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// assert_eq!(auth.counters().denied, 0);
    /// ```
    pub fn counters(&self) -> Counters {
        self.shared.audit.counters()
    }

    /// Decides one ZAP request (RFC 27) without a socket or a thread: for handlers of your own, and for tests.
    ///
    /// `frames` begin with the version frame, as does the reply; neither has an envelope or the empty delimiter.
    /// Callbacks run in the calling thread, without a deadline. `None` for fewer than two frames: there is no request id
    /// to answer with.
    ///
    /// ```
    /// # let auth = zmq_auth::Authenticator::new();
    /// let request: [&[u8]; 6] = [b"1.0", b"1", b"domain", b"127.0.0.1", b"", b"NULL"];
    /// let reply = auth.handle_zap_message(&request).expect("more than two frames");
    /// assert_eq!(reply[2], b"200"); // version, request id, status code, status text, user id, metadata
    /// ```
    pub fn handle_zap_message<B: AsRef<[u8]>>(&self, frames: &[B]) -> Option<Vec<Vec<u8>>> {
        let Some(parsed) = Parsed::new(frames) else {
            self.audit().dropped();
            return None;
        };
        let mut reply = Reply::new();
        let subject = parsed.request.as_ref().map_or_else(|_| Subject::unknown(), Subject::of);
        let reason = match self.decide(&parsed.request, &mut reply) {
            Outcome::Decided(reason) => reason,
            Outcome::Ask(call) => {
                let answer = call.run();
                reply = answer.reply;
                answer.reason
            }
        };
        self.audit().record(&subject, reason, &reply);
        Some(reply.frames(parsed.request_id).map(<[u8]>::to_vec).into())
    }

    pub(crate) fn decide(&self, request: &Result<Request<'_>, crate::zap::Malformed>, reply: &mut Reply) -> Outcome {
        match request {
            Ok(request) => self.read().decide(request, reply),
            Err(malformed) => {
                let reason = Reason::Malformed(*malformed);
                reason.refuse(reply);
                Outcome::Decided(reason)
            }
        }
    }

    pub(crate) fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    pub(crate) fn calls_at_once(&self) -> usize {
        self.shared.calls_at_once.load(Ordering::Relaxed)
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.shared.deadline_ms.load(Ordering::Relaxed))
    }

    fn set_plain(&self, domain: &str, source: PlainSource) {
        let old = self.change(domain, |sources| sources.plain.replace(source));
        drop(old);
    }

    fn set_curve(&self, domain: &str, source: CurveSource) {
        let old = self.change(domain, |sources| sources.curve.replace(source));
        drop(old);
    }

    /// Changes one domain under the lock; what it answers is freed by the caller, behind the lock.
    fn change<T>(&self, domain: &str, change: impl FnOnce(&mut Sources) -> T) -> T {
        change(self.write().domains.entry(domain))
    }

    // No code of a caller runs under the lock, so that nothing is half done where it was poisoned.
    fn read(&self) -> RwLockReadGuard<'_, Policy> {
        self.shared.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Policy> {
        self.shared.policy.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("domains", &self.read().domains.len()).finish_non_exhaustive()
    }
}

fn announce(domain: &str, mechanism: &str, what: &str, entries: usize) {
    if entries == 0 {
        log::warn!(target: TARGET, "domain {domain:?}: {mechanism} by {what}, which is empty: nobody is let in");
    } else {
        log::debug!(target: TARGET, "domain {domain:?}: {mechanism} by {what}, {entries} in all");
    }
}
