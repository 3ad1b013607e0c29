//! The ZAP handler: brings requests from its socket to the policy, and replies back.
//!
//! `engine` is the protocol without socket, clock or thread; `socket` gives it a ROUTER socket. Two front ends drive the
//! socket: `thread`, a thread that sleeps in libzmq, and `task`, a tokio task that waits for the socket's descriptor.
//! `pool` runs callbacks for both, in the order of `schedule`, which gives out `places`; `wake` is how the pool and `stop` reach the thread.

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

/// Logged where a guard is dropped that has served nobody.
const DROPPED_UNUSED: &str =
    "handler dropped before it had answered a request: bind it to a name that lives as long as its sockets";

#[cfg(feature = "tokio")]
pub use task::AsyncAuthenticator;
pub use thread::ThreadAuthenticator;
