//! The bundled libzmq's memory for secrets (`vendor/zmq-sys/secret_memory.c`), as it is linked into this binary, and what
//! connections leave in it.
//!
//! `ZMQ_AUTH_SECRETS_CONNECTIONS` sets the number of connections (by default 5,000).
#![cfg(all(target_os = "linux", secrets_are_recycled))]

#[path = "../harness/mod.rs"]
mod harness;

mod connections;
mod ends;
mod forks;
mod locks;
mod regions;
mod secret;
