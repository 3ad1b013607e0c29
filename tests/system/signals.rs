//! SIGPIPE in programs that don't ignore it as Rust's runtime does: a host in C, a tool that resets it.

use std::thread::yield_now;
use std::time::Instant;

use zmq_auth::ThreadAuthenticator;

use crate::harness::DEADLINE;
use crate::harness::process::isolated;
use crate::harness::system::die_of_broken_pipes;

#[test]
fn a_guard_that_outlives_its_handler_does_not_end_the_process() {
    isolated(|| {
        die_of_broken_pipes();
        for stop in [false, true] {
            let context = zmq::Context::new();
            let running = ThreadAuthenticator::start(&context).unwrap();
            drop(context);
            let end = Instant::now() + DEADLINE;
            while running.is_running() {
                assert!(Instant::now() < end, "the handler goes on without its context");
                yield_now();
            }
            // It wakes a thread that no longer exists.
            if stop { running.stop().unwrap() } else { drop(running) }
        }
    });
}
