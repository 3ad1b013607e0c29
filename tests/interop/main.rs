//! Interoperability with other stacks.
//!
//! - [`stacks`]: every ZeroMQ stack against every other, by `zmq-auth matrix`; the peers, one process each, are in `peers/`.
//! - [`decisions`]: raw ZAP requests, including some that no client can cause. One script of requests (`scenarios.txt`) is run
//!   against this crate's policy and pyzmq's; `differences.toml` lists every difference, with its reason.

#[path = "../harness/mod.rs"]
mod harness;

mod decisions;
mod ours;
mod stacks;
