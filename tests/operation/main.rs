//! What people need who run an authenticator for years: who is still welcome, who tries too often, what happened, and why.

#[path = "../harness/mod.rs"]
mod harness;

mod attempts;
mod events;
mod explain;
#[cfg(feature = "metrics")]
mod metrics;
mod page;
mod revocation;
#[cfg(feature = "metrics")]
mod stores_behind;
mod validity;
