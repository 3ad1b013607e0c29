//! This crate and pyzmq against each other: every end a process of its own.
//!
//! - [`matrix`]: who talks to whom, over what, with which mechanism and keys; both ends must tell the same story.
//! - [`guests`]: pyzmq clients of Rust servers, beyond the matrix.
//! - [`decisions`]: one script of requests put to both policies; `differences.toml` has every difference, with its reason.
//!
//! One cell alone: `cargo test --test interop matrix::pyzmq_server::rust_client::curve_with_rust_keys::denied_over_ipc`

#[path = "../harness/mod.rs"]
mod harness;

mod child;
mod decisions;
mod differences;
mod guests;
mod keys;
mod matrix;
mod peer;
