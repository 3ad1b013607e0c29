#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zmq_auth_properties::z85::holds(bytes));
