//! The socket of the ZAP handler, and the frames that it receives and sends.

use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::RawFd;
use std::{ptr, slice};

use zeroize::Zeroize;

use super::{Errno, check, open_socket, send_flags};

/// A message frame that can be received into repeatedly. Frames of up to 33 bytes never allocate.
pub(crate) struct Frame {
    pub(super) message: zmq_sys::zmq_msg_t,
    /// At most the length of the message. It is kept because a frame is read often, and asking libzmq costs a call.
    pub(super) length: usize,
}

// SAFETY: libzmq ties no `zmq_msg_t` to a thread.
unsafe impl Send for Frame {}

impl Frame {
    pub(crate) fn new() -> Self {
        let mut message = zmq_sys::zmq_msg_t::default();
        // SAFETY: the struct is the 64 bytes that the call initialises; it never fails.
        unsafe { zmq_sys::zmq_msg_init(&mut message) };
        Frame { message, length: 0 }
    }

    /// Overwrites the content with zeros, unless it is shared.
    pub(crate) fn wipe(&mut self) {
        // SAFETY: an initialised message. The process may have sent constant or shared memory, which must not be written.
        if unsafe { zmq_sys::zmq_msg_get(&self.message, zmq_sys::ZMQ_SHARED as c_int) } != 0 {
            return;
        }
        // SAFETY: as in `deref`; the bytes are neither constant nor shared, and `&mut self` is the only access to them.
        let bytes = unsafe {
            let data = zmq_sys::zmq_msg_data(&mut self.message).cast::<u8>();
            if data.is_null() { &mut [] } else { slice::from_raw_parts_mut(data, self.length) }
        };
        bytes.zeroize();
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: initialised by every constructor, and closed only here; the call fails only for an invalid message.
        unsafe { zmq_sys::zmq_msg_close(&mut self.message) };
    }
}

impl Deref for Frame {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.length == 0 {
            return &[];
        }
        let message = ptr::from_ref(&self.message);
        // SAFETY: `zmq_msg_data` only reads the struct (it takes a mutable pointer for historical reasons). There are at
        // least `length` bytes, and they live as long as the message, which `self` borrows. No slice is made from a null
        // pointer.
        unsafe {
            let data = zmq_sys::zmq_msg_data(message.cast_mut()).cast::<u8>();
            if data.is_null() { &[] } else { slice::from_raw_parts(data, self.length) }
        }
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// A bound ROUTER socket that holds no reference to its context. So the program's `drop(context)` ends it with ETERM, and
/// dropping it never terminates a context.
///
/// When dropped, it unbinds before it closes: a close alone keeps the inproc name taken for a while.
pub(crate) struct HandlerSocket {
    raw: *mut c_void,
    endpoint: &'static CStr,
    /// The socket's `ZMQ_FD`. It becomes readable only once after a change, so before waiting for it, the last operation on
    /// the socket must have been a receive that returned `AGAIN`.
    descriptor: RawFd,
    // One thread at a time: `Send`, but not `Sync`.
    not_sync: PhantomData<*mut ()>,
}

// SAFETY: libzmq lets a socket move between threads with a full fence, which sending a value to a thread is.
unsafe impl Send for HandlerSocket {}

impl HandlerSocket {
    /// Opens a ROUTER socket without linger or high-water marks, and binds it.
    pub(crate) fn bind(context: &zmq::Context, endpoint: &'static CStr) -> Result<Self, Errno> {
        let socket = open_socket(context, zmq::ROUTER)?;
        socket.set_linger(0)?;
        // A full queue would silently drop a reply. The number of replies is bounded by the handshakes in progress.
        socket.set_sndhwm(0)?;
        socket.set_rcvhwm(0)?;
        let descriptor = socket.get_fd()?;
        let this = HandlerSocket { raw: socket.into_raw(), endpoint, descriptor, not_sync: PhantomData };
        // SAFETY: a live socket and a C string.
        check(unsafe { zmq_sys::zmq_bind(this.raw, endpoint.as_ptr()) })?;
        Ok(this)
    }

    /// Receives one frame without waiting; returns whether more frames of the message follow.
    pub(crate) fn receive(&mut self, frame: &mut Frame) -> Result<bool, Errno> {
        // Its old content may be gone, whatever the result.
        frame.length = 0;
        // SAFETY: a live socket and an initialised message.
        let size =
            check(unsafe { zmq_sys::zmq_msg_recv(&mut frame.message, self.raw, zmq_sys::ZMQ_DONTWAIT as c_int) })?;
        // For a size above `int`'s maximum, libzmq returns that maximum.
        frame.length = usize::try_from(size).unwrap_or(0);
        // SAFETY: an initialised message.
        Ok(unsafe { zmq_sys::zmq_msg_more(&frame.message) } == 1)
    }

    /// Sends the frame's content, which leaves it empty.
    pub(crate) fn send(&mut self, frame: &mut Frame, more: bool) -> Result<(), Errno> {
        // SAFETY: a live socket and an initialised message, which is empty and still initialised after success.
        check(unsafe { zmq_sys::zmq_msg_send(&mut frame.message, self.raw, send_flags(more)) })?;
        frame.length = 0;
        Ok(())
    }

    /// Sends a copy of `bytes` as one frame.
    pub(crate) fn send_copy(&mut self, bytes: &[u8], more: bool) -> Result<(), Errno> {
        // SAFETY: a live socket; libzmq copies the bytes before it returns.
        check(unsafe { zmq_sys::zmq_send(self.raw, bytes.as_ptr().cast(), bytes.len(), send_flags(more)) })?;
        Ok(())
    }

    /// The descriptor, registered with the current tokio runtime. Panics, as tokio does, if that has no I/O driver.
    #[cfg(feature = "tokio")]
    pub(crate) fn readiness(&self) -> std::io::Result<tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>> {
        // SAFETY: libzmq's descriptor is open as long as the socket, and so as `self`; the copy is ours.
        let own = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.descriptor) }.try_clone_to_owned()?;
        // SAFETY: an owned descriptor stays open and unchanged until `AsyncFd` drops it.
        let registered =
            unsafe { tokio::io::unix::AsyncFd::register_with_interest(own, tokio::io::Interest::READABLE) };
        registered.map_err(Into::into)
    }

    /// Waits until the socket has something or `wake` is readable; returns whether `wake` is. `timeout_ms` of -1 waits
    /// without limit. The last operation on the socket must have been a receive that returned `AGAIN`.
    ///
    /// It makes one system call; `zmq_poll` makes up to six, for each request of a handler that waits for each.
    pub(crate) fn wait(&mut self, wake: RawFd, timeout_ms: c_int) -> Result<bool, Errno> {
        let item = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        let mut items = [item(self.descriptor), item(wake)];
        // SAFETY: two items: libzmq's descriptor, open as long as the socket, and one that the caller keeps open.
        check(unsafe { libc::poll(items.as_mut_ptr(), 2, timeout_ms) })?;
        Ok(items[1].revents != 0)
    }
}

impl Drop for HandlerSocket {
    fn drop(&mut self) {
        // SAFETY: the socket is live until the close below, after which nobody has the pointer. Unbinding fails only if the
        // bind did or the context has ended, closing only for an invalid socket: neither needs handling.
        unsafe {
            zmq_sys::zmq_unbind(self.raw, self.endpoint.as_ptr());
            zmq_sys::zmq_close(self.raw);
        }
    }
}
