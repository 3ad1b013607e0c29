//! Hostile peers: clients that send garbage, or cut off, stall or flood their handshakes, and handlers that misbehave.

#[path = "../harness/mod.rs"]
mod harness;

mod clients;
mod cut;
#[cfg(target_os = "linux")]
mod flood;
mod garbled;
mod guarded;
mod handlers;
mod recorded;
mod slow;
