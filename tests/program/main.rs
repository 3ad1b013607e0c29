//! Each command of `zmq-auth`, by running the built program.

mod completions;
mod ping;
#[path = "../harness/python.rs"]
mod python;
mod run;
