//! Sockets: the roles that `SocketExt` gives them, the senders of messages, the monitor, and servers that connect.

#[path = "../harness/mod.rs"]
mod harness;

mod connecting;
mod forged_properties;
mod monitor;
mod roles;
mod senders;
