//! What holds for any bytes. Each `holds` takes them as they come, from a property, a seed or a fuzzer, and panics where
//! the crate and the model differ.

#![allow(dead_code, unreachable_pub)]

#[path = "../../model/mod.rs"]
pub mod model;

pub mod address_rules;
pub mod certificate;
pub mod change;
pub mod disk;
pub mod password_file;
pub mod password_line;
pub mod reply;
pub mod request;
pub mod scenario;
pub mod validity_name;
pub mod z85;
