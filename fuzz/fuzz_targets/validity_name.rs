#![no_main]

#[path = "../../tests/properties/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| invariants::validity_name::holds(bytes));
