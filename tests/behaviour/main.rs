//! The behaviour of a policy: mechanisms, sources, address rules, callbacks, log; over real sockets, with every front end.

#[path = "../harness/mod.rs"]
mod harness;

mod addresses;
mod audit;
mod callbacks;
mod changes;
mod curve;
mod domains;
mod names;
mod null;
mod order;
mod password_frames;
mod plain;
mod raw_frames;
mod wire;
