//! Hashed passwords: argon2id PHC strings within bounds, and the slots in which they are verified.

use std::fmt;
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, try_generate_salt};
use argon2::{Algorithm, Argon2, Params, Version};
use constant_time_eq::constant_time_eq;
use zeroize::Zeroizing;

use super::Password;
use super::table::PasswordTable;
use crate::callback::{Call, Decision};
use crate::reason::Reason;
use crate::reload::lock;
use crate::zap::Reply;

/// In KiB. With the time, the bound on what a line of a file can make each guess of a client cost the server.
const MAX_MEMORY: u32 = 64 * 1024;
const MAX_TIME: u32 = 10;
const MAX_LANES: u32 = 16;
/// Shorter ones are found by guessing.
const MIN_HASH: usize = 16;

/// A password's salt and hash, and what it costs to compute it. No secret, but good for guessing: never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Phc {
    pub(crate) cost: Cost,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

/// argon2's m (in KiB), t and p.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    memory: u32,
    time: u32,
    lanes: u32,
}

impl Phc {
    pub(super) fn parse(value: &[u8]) -> Result<Self, &'static str> {
        const NOT_ONE: &str = "has a hash that is no argon2id PHC string: $argon2id$v=19$m=19456,t=2,p=1$salt$hash";
        if !value.starts_with(b"$argon2id$") {
            return Err("has a password that is hashed in a way that isn't known here: only $argon2id$ is");
        }
        let text = str::from_utf8(value).map_err(|_| NOT_ONE)?;
        let phc = PasswordHash::new(text).map_err(|_| NOT_ONE)?;
        let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else { return Err(NOT_ONE) };
        if phc.version != Some(Version::V0x13 as u32) {
            return Err("has an argon2id hash of another version than 19");
        }
        if ["m", "t", "p"].iter().any(|name| phc.params.get(*name).is_none()) || phc.params.iter().count() != 3 {
            return Err("has an argon2id hash with other parameters than m, t and p");
        }
        let params = Params::try_from(&phc.params).map_err(|_| "has an argon2id hash with parameters out of range")?;
        let cost = Cost { memory: params.m_cost(), time: params.t_cost(), lanes: params.p_cost() };
        if cost.memory > MAX_MEMORY || cost.time > MAX_TIME || cost.lanes > MAX_LANES {
            return Err("has an argon2id hash that costs too much: at most m=65536 (64 MiB), t=10, p=16");
        }
        if hash.as_bytes().len() < MIN_HASH {
            return Err("has an argon2id hash of less than 16 bytes");
        }
        Ok(Phc { cost, salt: salt.as_ref().into(), hash: hash.as_bytes().into() })
    }

    /// What a file has behind `name=`, with argon2's own default cost and a salt from the system.
    pub(super) fn make(password: &Password) -> Result<String, &'static str> {
        let salt = try_generate_salt().map_err(|_| "can't be hashed: the system gives no random numbers")?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
        let phc = argon2.hash_password_with_salt(password.as_bytes(), &salt);
        let text = phc.map_err(|_| "can't be hashed: no memory for it")?.to_string();
        Ok(text)
    }

    /// Salted: no two entries have the same.
    pub(crate) fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// Whether this is the password: `None` where there is no memory to tell.
    pub(super) fn matches(&self, password: &[u8]) -> Option<bool> {
        let mut hash = Zeroizing::new(vec![0; self.hash.len()]);
        self.cost.hash(password, &self.salt, &mut hash)?;
        Some(constant_time_eq(&hash, &self.hash))
    }
}

impl Cost {
    /// Takes as long as telling whether a password is right.
    pub(super) fn spend(self, password: &[u8]) -> Option<()> {
        self.hash(password, &[0; 16], &mut Zeroizing::new(vec![0; 32]))
    }

    fn hash(self, password: &[u8], salt: &[u8], out: &mut [u8]) -> Option<()> {
        let params = Params::new(self.memory, self.time, self.lanes, Some(out.len())).ok()?;
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, out).ok()
    }
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phc(…)")
    }
}

/// Hashing keeps a core busy: more at once only takes memory.
const MAX_AT_ONCE: usize = 4;
/// Under way or waiting. Half of the threads that a handler has for calls, so that guesses don't take them all.
const MAX_WAITING: usize = 32;
/// No handler waits longer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A call that verifies a password by hashing it.
pub(super) fn verify_call(table: Arc<PasswordTable>, username: &[u8], password: &[u8]) -> Call {
    let (username, password) = (username.to_vec(), Zeroizing::new(password.to_vec()));
    Call::new(move || verify(&table, &username, &password))
}

/// Costs one hash for everybody: a user with a hashed password, one with a clear one, or an unknown one.
fn verify(table: &PasswordTable, username: &[u8], password: &[u8]) -> Decision {
    let Some(_slot) = HASH_SLOTS.wait() else { return Decision::refusal(Reason::TooManyCalls) };
    let is_right = match table.hashed(username) {
        Some(phc) => phc.matches(password),
        // A clear password is compared as ever; an unknown user never matches.
        None => match table.cost(username) {
            Some(cost) => cost.spend(password).map(|()| table.holds(username, password)),
            None => Some(table.holds(username, password)),
        },
    };
    match is_right {
        Some(true) => {
            let mut reply = Reply::new();
            reply.allow(username);
            Decision { reason: Reason::Password(table.fingerprint(username)), reply }
        }
        Some(false) => Decision::refusal(Reason::WrongPassword),
        None => Decision::refusal(Reason::NotHashed),
    }
}

/// For the whole process: the bound is on its memory.
static HASH_SLOTS: LazyLock<HashSlots> = LazyLock::new(|| {
    HashSlots::new(thread::available_parallelism().map_or(1, usize::from).min(MAX_AT_ONCE), MAX_WAITING, PATIENCE)
});

struct HashSlots {
    state: Mutex<State>,
    freed: Condvar,
    at_once: usize,
    waiting: usize,
    patience: Duration,
}

#[derive(Default)]
struct State {
    running: usize,
    all: usize,
}

/// One of those that may run; given back when dropped.
struct HashSlot<'a>(&'a HashSlots);

impl HashSlots {
    fn new(at_once: usize, waiting: usize, patience: Duration) -> Self {
        HashSlots { state: Mutex::default(), freed: Condvar::new(), at_once, waiting, patience }
    }

    /// `None` where too many wait, or for too long.
    fn wait(&self) -> Option<HashSlot<'_>> {
        let mut state = lock(&self.state);
        if state.all >= self.waiting {
            return None;
        }
        state.all += 1;
        let is_full = |state: &mut State| state.running >= self.at_once;
        let waited = self.freed.wait_timeout_while(state, self.patience, is_full);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            state.all -= 1;
            return None;
        }
        state.running += 1;
        Some(HashSlot(self))
    }
}

impl Drop for HashSlot<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.running -= 1;
        state.all -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_so_many_waiting_and_no_more() {
        let slots = HashSlots::new(2, 3, Duration::from_secs(60));
        let (first, second) = (slots.wait().unwrap(), slots.wait().unwrap());
        thread::scope(|scope| {
            let third = scope.spawn(|| slots.wait().is_some());
            // The third waits, and leaves no room for a fourth.
            while lock(&slots.state).all < 3 {
                thread::yield_now();
            }
            assert!(slots.wait().is_none());
            assert!(!third.is_finished());
            drop(first);
            assert!(third.join().unwrap());
        });
        drop(second);
        let state = lock(&slots.state);
        assert_eq!((state.running, state.all), (0, 0));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let slots = HashSlots::new(1, 3, Duration::from_millis(1));
        let turn = slots.wait().unwrap();
        assert!(slots.wait().is_none());
        drop(turn);
        assert!(slots.wait().is_some());
    }
}
