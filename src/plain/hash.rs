//! Hashed passwords: argon2id PHC strings within bounds.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, try_generate_salt};
use argon2::{Algorithm, Argon2, Params, Version};
use constant_time_eq::constant_time_eq;
use zeroize::Zeroizing;

use super::Password;

/// In KiB. With the time, it limits what a line of a file can make each guess cost the server.
const MAX_MEMORY: u32 = 64 * 1024;
const MAX_TIME: u32 = 10;
const MAX_LANES: u32 = 16;
/// Shorter hashes can be guessed.
const MIN_HASH: usize = 16;

/// A password's salt and hash, and their cost. It isn't secret but helps guessing, so it is never printed.
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
        const NOT_ONE: &str = "has a hash that isn't an argon2id PHC string: $argon2id$v=19$m=19456,t=2,p=1$salt$hash";
        if !value.starts_with(b"$argon2id$") {
            return Err("has a password with an unknown hash: only $argon2id$ is supported");
        }
        let text = str::from_utf8(value).map_err(|_| NOT_ONE)?;
        let phc = PasswordHash::new(text).map_err(|_| NOT_ONE)?;
        let (Some(salt), Some(hash)) = (phc.salt, phc.hash) else { return Err(NOT_ONE) };
        if phc.version != Some(Version::V0x13 as u32) {
            return Err("has an argon2id hash of a version other than 19");
        }
        if ["m", "t", "p"].iter().any(|name| phc.params.get(*name).is_none()) || phc.params.iter().count() != 3 {
            return Err("has an argon2id hash with parameters other than m, t and p");
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

    /// The text after `name=` in a file, with argon2's default cost and a salt from the system.
    pub(super) fn make(password: &Password) -> Result<String, &'static str> {
        let salt = try_generate_salt().map_err(|_| "can't be hashed: the system provides no random bytes")?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
        let phc = argon2.hash_password_with_salt(password.as_bytes(), &salt);
        let text = phc.map_err(|_| "can't be hashed: not enough memory")?.to_string();
        Ok(text)
    }

    /// It is salted, so no two entries have the same.
    pub(crate) fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// Whether this is the password; `None` if there isn't enough memory to find out.
    pub(super) fn matches(&self, password: &[u8]) -> Option<bool> {
        let mut hash = Zeroizing::new(vec![0; self.hash.len()]);
        self.cost.hash(password, &self.salt, &mut hash)?;
        Some(constant_time_eq(&hash, &self.hash))
    }
}

impl Cost {
    /// The KiB that are written, to which the time is proportional.
    pub(super) fn work(self) -> u64 {
        u64::from(self.memory) * u64::from(self.time)
    }

    /// Takes as long as checking a password does.
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
