//! From the socket to the policy and back.
//!
//! `exchange` is the protocol without socket, clock or thread; `desk` gives it a ROUTER socket. Two faces drive the desk:
//! `thread` with a thread that sleeps in libzmq, `task` with a tokio task that waits for the socket's descriptor. `pool`
//! runs the program's callbacks for both, `wake` is how the pool and `stop` reach the thread.

mod desk;
mod exchange;
mod pool;
mod serve;
#[cfg(feature = "tokio")]
mod task;
#[cfg(feature = "tokio")]
mod tasks;
mod thread;
mod wake;

#[cfg(feature = "tokio")]
pub use task::AsyncAuthenticator;
pub use thread::ThreadAuthenticator;
