//! Interoperability of this crate with pyzmq, every end a process of its own: `peer/` here, `tests/python/peer.py` there.
//!
//! - [`matrix`]: who talks to whom, over what, with which mechanism and keys; both ends must report the same outcome.
//! - [`clients`]: pyzmq clients of Rust servers, beyond the matrix.
//! - [`decisions`]: one script of requests put to both policies; `differences.toml` has every difference, with its reason.
//! - [`stacks`]: every ZeroMQ stack against every other, by `zmq-auth matrix`; its peers are in `peers/`.
//!
//! One cell alone: `cargo test --test interop matrix::pyzmq_server::rust_client::curve_with_rust_keys::denied_over_ipc`

#[path = "../harness/mod.rs"]
mod harness;

mod child;
mod clients;
mod decisions;
mod differences;
mod keys;
mod language;
mod matrix;
mod stacks;
