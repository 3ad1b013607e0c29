//! Sockets: the roles that `SocketExt` gives them, the senders of messages, the monitor, and servers that connect.

#[path = "../harness/mod.rs"]
mod harness;

mod connecting;
mod endpoint_roles;
mod forged_properties;
mod handshakes;
#[cfg(target_os = "linux")]
mod message_size;
mod monitors;
mod no_mechanism;
mod rebinding;
mod request_servers;
mod roles;
mod senders;
