//! Shared by the benchmarks: the report, reproducible random numbers, processor times, and a Python interpreter with
//! pyzmq.

use std::path::Path;

pub mod processor_time;
pub mod random;
pub mod report;

// The tests' interpreter, so that both use the same pyzmq.
#[path = "../../tests/harness/python.rs"]
mod interpreter;

/// The Python interpreter that has pyzmq, installed on first use; panics with what to install if there can't be one.
pub fn python() -> &'static Path {
    interpreter::python()
}
