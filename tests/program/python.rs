//! The Python with pyzmq, made once for all tests, as the library's tests make it.

#[path = "../../examples/support/pyzmq.rs"]
#[allow(dead_code, reason = "the tests use no scripts of the examples")]
mod pyzmq;

pub(crate) use pyzmq::python;
