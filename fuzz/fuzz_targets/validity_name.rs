#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zmq_auth_properties::validity_name::holds(bytes));
