//! Stores: key directories and password files, their reloads, and what a bad file can't do. Pushed credentials.

#[path = "../harness/mod.rs"]
mod harness;

mod access;
mod deciding;
mod directory;
#[cfg(feature = "watch")]
mod exhausted;
#[cfg(feature = "argon2")]
mod fair_hashing;
mod faults;
mod files;
mod hash_like;
#[cfg(feature = "argon2")]
mod hashed;
mod in_place;
mod passwords;
mod problems;
mod pushed;
#[cfg(feature = "argon2")]
mod pushed_users;
mod reading;
mod user_ids;
mod validity;
#[cfg(target_os = "linux")]
mod vanishing;
#[cfg(feature = "watch")]
mod watch;
