//! Peers that mean harm, at length: every cut and many a flipped bit of a handshake, connections that never get to their
//! end, ten thousand of them at once, and handlers that answer what nobody asked. `tests/behaviour/hostile_*.rs` has
//! one of each kind.

#[path = "../harness/mod.rs"]
mod harness;

mod cut;
#[cfg(target_os = "linux")]
mod flood;
mod garbled;
mod handlers;
mod recorded;
mod scene;
mod slow;
