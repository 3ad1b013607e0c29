//! Tests of the commands of `zmq-auth`, which run the built program.

mod add;
mod colors;
mod completions;
mod convert;
mod explain;
mod files;
mod gate;
mod help;
mod keygen;
mod lint;
mod listen;
mod ls;
mod matrix;
mod page;
mod passwd;
mod ping;
mod policy;
#[path = "../harness/python.rs"]
mod python;
mod revoke;
mod rotate;
mod run;
mod shell;
mod show;
