//! Stores: key directories and password files, their reloads, and what a bad file can't do.

#[path = "../harness/mod.rs"]
mod harness;

mod deciding;
mod directory;
mod faults;
mod files;
#[cfg(feature = "argon2")]
mod hashed;
mod passwords;
mod reading;
mod validity;
#[cfg(target_os = "linux")]
mod vanishing;
#[cfg(feature = "watch")]
mod watch;
