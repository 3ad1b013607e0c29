//! Each command of `zmq-auth`, by running the built program.

mod completions;
mod explain;
mod lint;
mod page;
mod ping;
mod policy;
#[path = "../harness/python.rs"]
mod python;
mod run;
