//! From the socket to the policy and back.
//!
//! `exchange` is the protocol without socket, clock or thread; `thread` drives it with a ROUTER socket, `pool` runs the
//! program's callbacks, `wake` is how the pool and `stop` reach the thread while it sleeps in libzmq.

mod exchange;
mod pool;
mod thread;
mod wake;

pub use thread::ThreadAuthenticator;
