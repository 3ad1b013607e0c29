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
mod fair_callbacks;
mod hostile_client;
mod hostile_handler;
mod names;
mod null;
mod order;
mod plain;
mod wire;
