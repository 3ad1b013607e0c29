//! Operation: revocation, limits on failed attempts, events, metrics, explanations.

#[path = "../harness/mod.rs"]
mod harness;

#[cfg(target_os = "linux")]
mod disconnecting;
mod events;
mod explain;
mod failure_limits;
mod revocation;
mod routing_ids;
