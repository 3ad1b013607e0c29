//! Each command of `zmq-auth`, by running the built program.

mod add;
mod colors;
mod completions;
mod convert;
mod files;
mod help;
mod keygen;
mod ls;
mod passwd;
mod python;
mod revoke;
mod rotate;
mod run;
mod show;
