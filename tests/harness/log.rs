//! A logger that keeps the crate's records, and aborts the process when anything logs a secret.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError, RwLock};
use std::time::{Duration, Instant};

use zmq_auth::{KeyPair, PublicKey, SecretKey};

/// A word that no log record may contain: every password in the tests does.
pub const SENTINEL: &str = "zanzibar";

/// The number of records that are kept.
static KEPT: AtomicUsize = AtomicUsize::new(65_536);

/// One record of the crate.
#[derive(Debug, Clone)]
pub struct Record {
    pub level: log::Level,
    pub text: String,
}

/// A password that must not be logged.
pub fn password(name: &str) -> String {
    let password = format!("{SENTINEL} {name}");
    secret(&password);
    password
}

/// A new key pair whose secret key must not be logged.
pub fn keys() -> KeyPair {
    let keys = KeyPair::generate().expect("the libzmq of the tests has CURVE");
    secret_key(&keys.secret);
    keys
}

/// A public key for which nobody has the secret key.
pub fn stranger() -> PublicKey {
    keys().public
}

/// Registers text that must not be logged, in any of the usual notations for bytes.
pub fn secret(text: &str) {
    install();
    let mut secrets = LOGGER.secrets.write().unwrap_or_else(PoisonError::into_inner);
    secrets.insert(text.to_owned());
    secrets.extend(written(text.as_bytes()));
}

/// Registers a key that must not be logged.
pub fn secret_key(key: &SecretKey) {
    secret(&key.to_z85());
    LOGGER.secrets.write().unwrap_or_else(PoisonError::into_inner).extend(written(key.as_bytes()));
}

/// The bytes as hex, as a list and escaped.
fn written(bytes: &[u8]) -> [String; 4] {
    let mut hex = String::new();
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    let list = format!("{bytes:?}");
    let list = list.trim_matches(['[', ']']).to_owned();
    [hex.to_uppercase(), hex, list, bytes.escape_ascii().to_string()]
}

/// Collects the records of this process from now on. May be called repeatedly.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOGGER).expect("no other logger in a test binary");
        log::set_max_level(log::LevelFilter::Trace);
        LOGGER.secrets.write().unwrap_or_else(PoisonError::into_inner).insert(SENTINEL.to_owned());
    });
}

/// Keeps no records from now on, but still searches them for secrets: for tests that measure the process's memory.
pub fn keep_none() {
    install();
    KEPT.store(0, Ordering::Relaxed);
    LOGGER.records().clear();
}

/// Returns the first matching record, among the kept ones and future ones.
pub fn wait_for(within: Duration, wanted: impl Fn(&Record) -> bool) -> Record {
    install();
    let end = Instant::now() + within;
    let mut records = LOGGER.records();
    loop {
        if let Some(found) = records.iter().find(|record| wanted(record)) {
            return found.clone();
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let last: Vec<_> = records.iter().rev().take(20).map(|record| record.text.as_str()).collect();
            panic!("no such record within {within:?}; the last ones: {last:#?}");
        }
        records = LOGGER.came.wait_timeout(records, left).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// The matching records so far.
pub fn records(wanted: impl Fn(&Record) -> bool) -> Vec<Record> {
    install();
    LOGGER.records().iter().filter(|record| wanted(record)).cloned().collect()
}

struct Capture {
    secrets: RwLock<Secrets>,
    records: Mutex<VecDeque<Record>>,
    came: Condvar,
}

/// A set that can be created in a `static`.
#[derive(Default)]
struct Secrets(Option<HashSet<String>>);

impl Secrets {
    const fn new() -> Self {
        Secrets(None)
    }

    fn insert(&mut self, text: String) {
        self.extend([text]);
    }

    fn extend(&mut self, texts: impl IntoIterator<Item = String>) {
        // A short text would also match innocent ones.
        self.0.get_or_insert_default().extend(texts.into_iter().filter(|text| text.len() >= SENTINEL.len()));
    }

    fn betrayed_by(&self, text: &str) -> bool {
        self.0.iter().flatten().any(|secret| text.contains(secret.as_str()))
    }
}

static LOGGER: Capture =
    Capture { secrets: RwLock::new(Secrets::new()), records: Mutex::new(VecDeque::new()), came: Condvar::new() };

impl Capture {
    fn records(&self) -> MutexGuard<'_, VecDeque<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let text = record.args().to_string();
        if self.secrets.read().unwrap_or_else(PoisonError::into_inner).betrayed_by(&text) {
            // Not `eprintln`, which the test runner would capture.
            let _ = writeln!(std::io::stderr(), "A SECRET WAS LOGGED by {}: {text}", record.target());
            std::process::abort();
        }
        if record.target() == "zmq_auth" {
            let mut records = self.records();
            let kept = KEPT.load(Ordering::Relaxed);
            if records.len() >= kept {
                records.pop_front();
            }
            if kept > 0 {
                records.push_back(Record { level: record.level(), text });
            }
            self.came.notify_all();
        }
    }

    fn flush(&self) {}
}
