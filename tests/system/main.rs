//! The operating system: processes without free descriptors or threads, forks, signals, and a clock that is set.
#![cfg(target_os = "linux")]

#[path = "../harness/mod.rs"]
mod harness;

mod clock;
mod descriptors;
mod fork;
mod signals;
mod threads;

/// A context whose own threads already run.
fn started_context() -> zmq::Context {
    let context = zmq::Context::new();
    drop(context.socket(zmq::PAIR).unwrap());
    context
}
