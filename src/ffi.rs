//! The one file with `unsafe`: libzmq calls that the `zmq` crate lacks, or makes in a way that can panic.
//!
//! Everything public in this module is safe to call. `zmq-sys` declares most of the functions; `zmq_curve_public` and
//! `ZMQ_ZAP_ENFORCE_DOMAIN`, which the stock crate doesn't export, are declared here, so that programs with an unmodified
//! `zmq-sys` compile.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{ptr, slice};

use zeroize::{Zeroize, Zeroizing};
use zmq_sys::errno;

/// An error number of libzmq or of the operating system; `Display` is libzmq's text for it.
///
/// (`zmq::Error` isn't used: creating one from a number that it doesn't know panics.)
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

impl Errno {
    pub(crate) const AGAIN: Errno = Errno(errno::EAGAIN);
    pub(crate) const ADDRESS_IN_USE: Errno = Errno(errno::EADDRINUSE);
    pub(crate) const INTERRUPTED: Errno = Errno(errno::EINTR);
    pub(crate) const INVALID: Errno = Errno(errno::EINVAL);
    pub(crate) const TOO_MANY_FILES: Errno = Errno(libc::EMFILE);
    pub(crate) const TOO_MANY_FILES_IN_ALL: Errno = Errno(libc::ENFILE);
    pub(crate) const TERMINATED: Errno = Errno(errno::ETERM);

    /// The number, as `errno.h` and `zmq.h` define it.
    pub fn raw(self) -> i32 {
        self.0
    }

    fn last() -> Self {
        // SAFETY: takes nothing; reads a thread-local number.
        Errno(unsafe { zmq_sys::zmq_errno() })
    }
}

impl From<zmq::Error> for Errno {
    fn from(error: zmq::Error) -> Self {
        Errno(error.to_raw())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: for every number, `zmq_strerror` returns a pointer to a C string that is never freed.
        let text = unsafe { CStr::from_ptr(zmq_sys::zmq_strerror(self.0)) };
        f.write_str(&text.to_string_lossy())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

impl std::error::Error for Errno {}

unsafe extern "C" {
    fn zmq_curve_public(z85_public_key: *mut c_char, z85_secret_key: *const c_char) -> c_int;
}

/// `ZMQ_ZAP_ENFORCE_DOMAIN` of `zmq.h`, since libzmq 4.3.0.
const ZMQ_ZAP_ENFORCE_DOMAIN: c_int = 93;
/// A 32-byte key as Z85 text: 40 characters and the final NUL.
const Z85_KEY: usize = 41;

fn check(rc: c_int) -> Result<c_int, Errno> {
    if rc == -1 { Err(Errno::last()) } else { Ok(rc) }
}

/// Makes a key pair; (public, secret), as NUL-terminated Z85.
pub(crate) fn curve_keypair() -> Result<([u8; Z85_KEY], Zeroizing<[u8; Z85_KEY]>), Errno> {
    let mut public = [0u8; Z85_KEY];
    let mut secret = Zeroizing::new([0u8; Z85_KEY]);
    // SAFETY: both buffers have the 41 bytes that the call writes.
    check(unsafe { zmq_sys::zmq_curve_keypair(public.as_mut_ptr().cast(), secret.as_mut_ptr().cast()) })?;
    Ok((public, secret))
}

/// The public key of a secret one, both as NUL-terminated Z85. Fails with EINVAL for text that isn't 40 characters.
pub(crate) fn curve_public(secret: &CStr) -> Result<[u8; Z85_KEY], Errno> {
    if secret.to_bytes_with_nul().len() != Z85_KEY {
        return Err(Errno::INVALID);
    }
    let mut public = [0u8; Z85_KEY];
    // SAFETY: `public` has the 41 bytes that the call writes; `secret` is the 40 characters and NUL that it reads.
    check(unsafe { zmq_curve_public(public.as_mut_ptr().cast(), secret.as_ptr()) })?;
    Ok(public)
}

/// Sets `ZMQ_ZAP_ENFORCE_DOMAIN`: with it, a handshake fails when no ZAP handler answers for the socket's domain.
pub(crate) fn set_zap_enforce_domain(socket: &mut zmq::Socket, enforce: bool) -> Result<(), Errno> {
    let value = c_int::from(enforce);
    // SAFETY: the socket is live; the option's value is one int, which outlives the call.
    check(unsafe {
        zmq_sys::zmq_setsockopt(
            socket.as_mut_ptr(),
            ZMQ_ZAP_ENFORCE_DOMAIN,
            ptr::from_ref(&value).cast(),
            size_of::<c_int>(),
        )
    })?;
    Ok(())
}

/// Reads `ZMQ_ZAP_ENFORCE_DOMAIN`.
pub(crate) fn zap_enforce_domain(socket: &mut zmq::Socket) -> Result<bool, Errno> {
    Ok(int_option(socket, ZMQ_ZAP_ENFORCE_DOMAIN)? != 0)
}

/// Sets `ZMQ_XPUB_MANUAL`, which the `zmq` crate lacks.
pub(crate) fn set_xpub_manual(socket: &mut zmq::Socket, manual: bool) -> Result<(), Errno> {
    let value = c_int::from(manual);
    // SAFETY: the socket is live; the option's value is one int, which outlives the call.
    check(unsafe {
        zmq_sys::zmq_setsockopt(
            socket.as_mut_ptr(),
            zmq_sys::ZMQ_XPUB_MANUAL as c_int,
            ptr::from_ref(&value).cast(),
            size_of::<c_int>(),
        )
    })?;
    Ok(())
}

/// `ZMQ_TYPE`, by `zmq.h`'s numbers. (`zmq::Socket::get_socket_type` panics at one that it doesn't know.)
pub(crate) fn socket_type(socket: &mut zmq::Socket) -> Result<u32, Errno> {
    Ok(int_option(socket, zmq_sys::ZMQ_TYPE as c_int)? as u32)
}

/// Reads an option whose value is an int.
fn int_option(socket: &mut zmq::Socket, option: c_int) -> Result<c_int, Errno> {
    let (mut value, mut size): (c_int, usize) = (0, size_of::<c_int>());
    // SAFETY: the socket is live; the value is one int of `size` bytes, and libzmq rejects any other size.
    check(unsafe {
        zmq_sys::zmq_getsockopt(socket.as_mut_ptr(), option, ptr::from_mut(&mut value).cast(), &mut size)
    })?;
    Ok(value)
}

/// Opens a socket. (`zmq::Context::socket` panics at an error number that it doesn't know, such as ENFILE.)
pub(crate) fn open_socket(context: &zmq::Context, kind: zmq::SocketType) -> Result<zmq::Socket, Errno> {
    let opened = catch_unwind(AssertUnwindSafe(|| context.socket(kind)));
    Ok(opened.map_err(|_| Errno::last())??)
}

/// Binds a socket. (`zmq::Socket::bind` panics at an error number that it doesn't know, such as ENOTDIR.)
pub(crate) fn bind(socket: &zmq::Socket, endpoint: &str) -> Result<(), Errno> {
    check_descriptors()?;
    let endpoint = c_string(endpoint)?;
    // SAFETY: a live socket and a C string.
    check(unsafe { zmq_sys::zmq_bind(pointer(socket), endpoint.as_ptr()) }).map(drop)
}

/// Unbinds a socket; panics are avoided as in [`bind`].
pub(crate) fn unbind(socket: &zmq::Socket, endpoint: &str) -> Result<(), Errno> {
    let endpoint = c_string(endpoint)?;
    // SAFETY: a live socket and a C string.
    check(unsafe { zmq_sys::zmq_unbind(pointer(socket), endpoint.as_ptr()) }).map(drop)
}

/// Connects a socket; panics are avoided as in [`bind`].
pub(crate) fn connect(socket: &zmq::Socket, endpoint: &str) -> Result<(), Errno> {
    let endpoint = c_string(endpoint)?;
    // SAFETY: a live socket and a C string.
    check(unsafe { zmq_sys::zmq_connect(pointer(socket), endpoint.as_ptr()) }).map(drop)
}

/// Checks that a descriptor is free. To bind a TCP endpoint, libzmq through 4.3.5 lists the network interfaces, and aborts
/// the process if it has no descriptor for that.
pub(crate) fn check_descriptors() -> Result<(), Errno> {
    match std::io::pipe() {
        Ok(_) => Ok(()),
        Err(error) => Err(error.raw_os_error().map_or(Errno::TOO_MANY_FILES, Errno)),
    }
}

/// The clock that goes on while the machine is suspended. On systems other than Linux, the monotonic clock may or may not
/// do so; macOS's does.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SINCE_BOOT: libc::clockid_t = libc::CLOCK_BOOTTIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SINCE_BOOT: libc::clockid_t = libc::CLOCK_MONOTONIC;

/// Nanoseconds since the machine started; `None` if the system doesn't say.
pub(crate) fn time_since_boot() -> Option<u64> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call writes one `timespec`, into memory for one.
    check(unsafe { libc::clock_gettime(SINCE_BOOT, time.as_mut_ptr()) }).ok()?;
    // SAFETY: the call succeeded, so it has initialised the value.
    let time = unsafe { time.assume_init() };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(u64::try_from(time.tv_nsec).ok()?)
}

fn c_string(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::INVALID)
}

/// libzmq's pointer to the socket, for calls from the thread that owns it: a `zmq::Socket` isn't `Sync`.
fn pointer(socket: &zmq::Socket) -> *mut c_void {
    // `as_mut_ptr` takes `&mut self`, but only returns the pointer.
    // SAFETY: the copy is read and never dropped: the socket still has one owner.
    ManuallyDrop::new(unsafe { ptr::read(socket) }).as_mut_ptr()
}

/// A property of a received message. (`zmq::Message::gets` takes `&mut self`, and panics at a name with a NUL.)
pub(crate) fn property<'m>(message: &'m zmq::Message, name: &str) -> Option<&'m str> {
    if name.contains('\0') {
        return None;
    }
    // SAFETY: the copy is read and never dropped: the message still has one owner. Messages may be moved, so a bitwise
    // copy can be read like the original.
    let mut copy = ManuallyDrop::new(unsafe { ptr::read(message) });
    let value: *const str = copy.gets(name)?;
    // SAFETY: the text belongs to the connection's properties, which the message keeps alive and libzmq never changes. The
    // message can't be received into or dropped while it is borrowed.
    Some(unsafe { &*value })
}

/// Makes libzmq send the socket's events to an inproc endpoint. (`zmq::Socket::monitor` panics at an error number that it
/// doesn't know, such as ENFILE.)
pub(crate) fn monitor(socket: &mut zmq::Socket, endpoint: &str, events: c_int) -> Result<(), Errno> {
    let endpoint = c_string(endpoint)?;
    // SAFETY: a live socket and a C string.
    check(unsafe { zmq_sys::zmq_socket_monitor(socket.as_mut_ptr(), endpoint.as_ptr(), events) })?;
    Ok(())
}

/// Stops the socket's monitor; its reader then gets `MONITOR_STOPPED`.
pub(crate) fn stop_monitor(socket: &mut zmq::Socket) -> Result<(), Errno> {
    // SAFETY: the socket is live; a null endpoint stops the monitor.
    check(unsafe { zmq_sys::zmq_socket_monitor(socket.as_mut_ptr(), ptr::null(), 0) })?;
    Ok(())
}

/// A message frame that can be received into repeatedly. Frames of up to 33 bytes never allocate.
pub(crate) struct Frame {
    message: zmq_sys::zmq_msg_t,
    /// At most the length of the message. It is kept because a frame is read often, and asking libzmq costs a call.
    length: usize,
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

/// A place for the copy of a descriptor, which is taken once: a copy can be made when the process has no descriptor left.
#[cfg(target_os = "linux")]
pub(crate) struct CopyPlace {
    place: std::os::fd::OwnedFd,
    /// What is there while there is no copy.
    filler: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl CopyPlace {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (place, filler) = std::os::unix::net::UnixStream::pair()?;
        Ok(CopyPlace { place: place.into(), filler: filler.into() })
    }

    /// Looks at a copy of the connection with this number, which can't become another's meanwhile. A number that isn't open
    /// is EBADF. (The type asks nothing about the kind of socket.)
    pub(crate) fn with_copy<T>(
        &mut self,
        descriptor: RawFd,
        look: impl FnOnce(&std::net::TcpStream) -> T,
    ) -> std::io::Result<T> {
        use std::os::fd::{AsRawFd, FromRawFd};
        self.put(descriptor)?;
        // SAFETY: the place is open, and stays so: the stream is never dropped, and doesn't outlive this call.
        let copy = ManuallyDrop::new(unsafe { std::net::TcpStream::from_raw_fd(self.place.as_raw_fd()) });
        let seen = look(&copy);
        // A copy that stayed would keep the connection open.
        self.put(self.filler.as_raw_fd())?;
        Ok(seen)
    }

    /// Closes what is in the place, and puts a copy there.
    fn put(&self, descriptor: RawFd) -> std::io::Result<()> {
        use std::os::fd::AsRawFd;
        loop {
            // SAFETY: takes numbers; the second is that of our own place, which nobody else uses.
            if unsafe { libc::dup3(descriptor, self.place.as_raw_fd(), libc::O_CLOEXEC) } != -1 {
                return Ok(());
            }
            match std::io::Error::last_os_error() {
                // Linux may say EBUSY while another thread opens a descriptor.
                error if matches!(error.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::ResourceBusy) => {
                }
                error => return Err(error),
            }
        }
    }
}

/// `SO_COOKIE`: a number that no other socket has had since the system started. Use it only for reading: anything else needs
/// a duplicate of the descriptor.
#[cfg(target_os = "linux")]
pub(crate) fn cookie(descriptor: RawFd) -> std::io::Result<u64> {
    let mut cookie = 0;
    // SAFETY: the option's value is a u64.
    unsafe { socket_option(descriptor, libc::SO_COOKIE, &mut cookie) }.map(|()| cookie)
}

/// `SO_PEERCRED`: the process at the other end of an ipc connection, as (uid, gid, pid).
#[cfg(target_os = "linux")]
pub(crate) fn peer_credentials(descriptor: RawFd) -> std::io::Result<(u32, u32, i32)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    // SAFETY: the option's value is this struct of three ints.
    unsafe { socket_option(descriptor, libc::SO_PEERCRED, &mut peer) }.map(|()| (peer.uid, peer.gid, peer.pid))
}

/// Reads an option of a system socket; a descriptor that isn't open, or isn't a socket, is an error.
///
/// # Safety
/// The option's value must be a `T`, and any bytes must be a valid `T`.
#[cfg(target_os = "linux")]
unsafe fn socket_option<T>(descriptor: RawFd, option: c_int, value: &mut T) -> std::io::Result<()> {
    let mut size = size_of::<T>() as libc::socklen_t;
    // SAFETY: takes a number; at most the `size` bytes of the value are written.
    let rc = unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, option, ptr::from_mut(value).cast(), &mut size) };
    if rc == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

fn send_flags(more: bool) -> c_int {
    let more = if more { zmq_sys::ZMQ_SNDMORE } else { 0 };
    (zmq_sys::ZMQ_DONTWAIT | more) as c_int
}

#[cfg(test)]
mod tests;
