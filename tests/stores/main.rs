//! Sources that follow the disk: what is read again, what is in force, and what a bad file can't do.

#[path = "../harness/mod.rs"]
mod harness;

mod access;
mod deciding;
mod directory;
mod events;
#[cfg(feature = "watch")]
mod exhausted;
mod faults;
mod files;
mod hash_like;
#[cfg(feature = "argon2")]
mod hashed;
mod in_place;
mod passwords;
mod reading;
mod user_ids;
mod validity;
#[cfg(feature = "watch")]
mod watch;
