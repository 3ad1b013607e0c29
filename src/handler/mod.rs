//! The ZAP handler: takes requests from its socket to the policy, and replies back.
//!
//! `engine` is the protocol without socket, clock or thread; `socket` connects it to a ROUTER socket. Two front ends drive
//! that: `thread` blocks in a poll, and `task` is a tokio task that waits for the socket's descriptor. `pool` runs callbacks
//! for both, in the order of `schedule`, which assigns `places`. `wake` lets the pool and `stop` wake the thread.

#[cfg(feature = "tokio")]
mod async_calls;
mod engine;
mod places;
mod pool;
mod schedule;
mod socket;
#[cfg(feature = "tokio")]
mod task;
mod thread;
mod wake;

/// Logged when a guard is dropped that has not answered any request.
const DROPPED_UNUSED: &str =
    "handler dropped before it had answered a request: bind it to a name that lives as long as its sockets";

#[cfg(feature = "tokio")]
pub use task::AsyncAuthenticator;
pub use thread::ThreadAuthenticator;
