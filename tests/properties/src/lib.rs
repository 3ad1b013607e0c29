//! Invariants that hold for any bytes, and the naive model that they compare the crate with. Each `holds` takes bytes from a
//! property, a seed or a fuzzer, and panics if the crate and the model differ.

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
