//! The one socket option that neither `zmq` nor the crate's public face gives by itself.
#![allow(unsafe_code)]

/// Sets `ZMQ_ZAP_ENFORCE_DOMAIN`, and no domain.
pub fn enforce_domain(socket: &mut zmq::Socket) {
    const ZMQ_ZAP_ENFORCE_DOMAIN: i32 = 93;
    let one = 1_i32;
    // SAFETY: the socket is alive; the value is an int, which is read before the call returns.
    let rc = unsafe {
        zmq_sys::zmq_setsockopt(socket.as_mut_ptr(), ZMQ_ZAP_ENFORCE_DOMAIN, (&raw const one).cast(), size_of::<i32>())
    };
    assert_eq!(rc, 0);
}
