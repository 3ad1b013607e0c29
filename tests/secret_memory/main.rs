//! The memory that the bundled libzmq has its secrets in (`vendor/zmq-sys/secret_memory.c`), as it is linked into this binary,
//! and what connections leave of it.
//!
//! `ZMQ_AUTH_SECRETS_CONNECTIONS` sets how many connections are made: 5,000 without it.
#![cfg(all(target_os = "linux", secrets_are_recycled))]

#[path = "../harness/mod.rs"]
mod harness;

mod connections;
mod ends;
mod forks;
mod locks;
mod regions;
mod secret;
