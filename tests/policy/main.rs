//! Policy files: what each line does, what a bad file can't do, and reloads.
#![cfg(feature = "policy")]

#[path = "../harness/mod.rs"]
mod harness;

mod errors;
mod fixture;
mod lines;
mod reload;
#[cfg(feature = "watch")]
mod watch;
