//! What the crate does, over real sockets and through every way to run a handler.

#[path = "../harness/mod.rs"]
mod harness;

mod addresses;
mod audit;
mod callbacks;
mod changes;
mod concurrency;
mod curve;
mod domains;
mod dropped_handlers;
mod endpoint_roles;
mod hostile_client;
mod hostile_handler;
#[cfg(target_os = "linux")]
mod message_size;
mod monitors;
mod names;
mod no_mechanism;
mod null;
mod order;
mod plain;
mod rebinding;
mod request_servers;
mod wire;
