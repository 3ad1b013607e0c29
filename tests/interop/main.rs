//! Interoperability with other stacks.
//!
//! - [`stacks`]: every ZeroMQ stack against every other, by `zmq-auth matrix`; the peers, one process each, are in `peers/`.
//! - [`decisions`]: what only a raw ZAP request can ask, and no client can send. One script of requests (`scenarios.txt`) is put
//!   to this crate's policy and to pyzmq's; `differences.toml` has every difference, with its reason.

#[path = "../harness/mod.rs"]
mod harness;

mod decisions;
mod ours;
mod stacks;
