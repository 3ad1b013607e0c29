//! ZMQ messages whose memory belongs to somebody else.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::mpsc::Sender;

/// Sends one frame, the last of its message, from read-only memory.
pub(crate) fn send_constant(socket: &mut zmq::Socket, bytes: &'static [u8]) {
    // SAFETY: a live socket; the bytes stay as they are for ever.
    let rc = unsafe { zmq_sys::zmq_send_const(socket.as_mut_ptr(), bytes.as_ptr().cast(), bytes.len(), 0) };
    assert_eq!(usize::try_from(rc), Ok(bytes.len()));
}

/// Sends one frame, the last of its message, and returns its bytes as they are when the receiver releases it.
pub(crate) fn send_lent(socket: &mut zmq::Socket, bytes: Vec<u8>, back: Sender<Vec<u8>>) {
    let size = bytes.len();
    let loan = Box::into_raw(Box::new((bytes, back)));
    let mut message = zmq_sys::zmq_msg_t::default();
    // SAFETY: the loan lives until `take_back`, which libzmq calls once; nobody else touches it in between.
    unsafe {
        let data = (*loan).0.as_mut_ptr().cast();
        assert_eq!(zmq_sys::zmq_msg_init_data(&mut message, data, size, Some(take_back), loan.cast()), 0);
    }
    // SAFETY: an initialised message, which the call takes over, and a live socket.
    assert!(unsafe { zmq_sys::zmq_msg_send(&mut message, socket.as_mut_ptr(), 0) } >= 0);
}

unsafe extern "C" fn take_back(_: *mut c_void, loan: *mut c_void) {
    // SAFETY: the pointer that `send_lent` made of this very type, and nobody has taken it back before.
    let loan = unsafe { Box::from_raw(loan.cast::<(Vec<u8>, Sender<Vec<u8>>)>()) };
    let (bytes, back) = *loan;
    let _ = back.send(bytes);
}

/// A message whose bytes are shared with another one.
pub(crate) struct Shared(zmq_sys::zmq_msg_t);

impl Shared {
    /// Sends the bytes as one frame, the last of its message, and keeps them.
    pub(crate) fn send(socket: &mut zmq::Socket, bytes: &[u8]) -> Self {
        let (mut kept, mut sent) = (Shared(zmq_sys::zmq_msg_t::default()), zmq_sys::zmq_msg_t::default());
        // SAFETY: `kept` is initialised first, with room for the bytes; `sent` is before it is copied to.
        unsafe {
            assert_eq!(zmq_sys::zmq_msg_init_size(&mut kept.0, bytes.len()), 0);
            zmq_sys::zmq_msg_data(&mut kept.0).cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            assert_eq!(zmq_sys::zmq_msg_init(&mut sent), 0);
            assert_eq!(zmq_sys::zmq_msg_copy(&mut sent, &mut kept.0), 0);
        }
        // SAFETY: an initialised message, which the call takes over, and a live socket.
        assert!(unsafe { zmq_sys::zmq_msg_send(&mut sent, socket.as_mut_ptr(), 0) } >= 0);
        kept
    }

    pub(crate) fn bytes(&mut self) -> Vec<u8> {
        // SAFETY: an initialised message, whose bytes nobody writes while they are copied.
        unsafe {
            let size = zmq_sys::zmq_msg_size(&self.0);
            std::slice::from_raw_parts(zmq_sys::zmq_msg_data(&mut self.0).cast::<u8>(), size).to_vec()
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: an initialised message, closed once.
        unsafe { zmq_sys::zmq_msg_close(&mut self.0) };
    }
}
