//! Sources that follow the disk: what is read again, what is in force, and what a bad file can't do.

#[path = "../harness/mod.rs"]
mod harness;

mod deciding;
mod directory;
mod events;
#[cfg(feature = "argon2")]
mod fair_hashing;
mod faults;
mod files;
#[cfg(feature = "argon2")]
mod hashed;
mod passwords;
mod reading;
mod validity;
#[cfg(feature = "watch")]
mod watch;
