//! The socket option `ZMQ_ZAP_ENFORCE_DOMAIN`, which neither `zmq` nor the public API gives access to.
#![allow(unsafe_code)]

use std::ffi::c_int;

const ZMQ_ZAP_ENFORCE_DOMAIN: c_int = 93;

/// Sets the option, but no domain.
pub fn enforce_domain(socket: &mut zmq::Socket) {
    let one: c_int = 1;
    // SAFETY: the socket is alive; the value is an int, which is read before the call returns.
    let rc = unsafe {
        zmq_sys::zmq_setsockopt(
            socket.as_mut_ptr(),
            ZMQ_ZAP_ENFORCE_DOMAIN,
            (&raw const one).cast(),
            size_of::<c_int>(),
        )
    };
    assert_eq!(rc, 0);
}

/// Whether the option is set.
pub fn enforces_domain(socket: &mut zmq::Socket) -> bool {
    let (mut value, mut size): (c_int, usize) = (-1, size_of::<c_int>());
    // SAFETY: a live socket; the value is an int of `size` bytes.
    let rc = unsafe {
        let value = (&raw mut value).cast();
        zmq_sys::zmq_getsockopt(socket.as_mut_ptr(), ZMQ_ZAP_ENFORCE_DOMAIN, value, &mut size)
    };
    assert_eq!(rc, 0);
    value != 0
}
