#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zmq_auth_properties::password_line::holds(bytes));
