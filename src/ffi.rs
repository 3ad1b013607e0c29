//! The one module with `unsafe`: libzmq calls that the `zmq` crate lacks, or makes in a way that can panic.
//!
//! Everything public in this module is safe to call. `zmq-sys` declares most of the functions; `zmq_curve_public` and
//! `ZMQ_ZAP_ENFORCE_DOMAIN`, which the stock crate doesn't export, are declared here, so that programs with an unmodified
//! `zmq-sys` compile.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
mod descriptor;
mod handler_socket;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use zeroize::Zeroizing;
use zmq_sys::errno;

#[cfg(target_os = "linux")]
pub(crate) use descriptor::{CopyPlace, cookie, peer_credentials};
pub(crate) use handler_socket::{Frame, HandlerSocket};

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
    set_int_option(socket, ZMQ_ZAP_ENFORCE_DOMAIN, enforce.into())
}

/// Reads `ZMQ_ZAP_ENFORCE_DOMAIN`.
pub(crate) fn zap_enforce_domain(socket: &mut zmq::Socket) -> Result<bool, Errno> {
    Ok(int_option(socket, ZMQ_ZAP_ENFORCE_DOMAIN)? != 0)
}

/// Sets `ZMQ_XPUB_MANUAL`, which the `zmq` crate lacks.
pub(crate) fn set_xpub_manual(socket: &mut zmq::Socket, manual: bool) -> Result<(), Errno> {
    set_int_option(socket, zmq_sys::ZMQ_XPUB_MANUAL as c_int, manual.into())
}

/// `ZMQ_TYPE`, by `zmq.h`'s numbers. (`zmq::Socket::get_socket_type` panics at one that it doesn't know.)
pub(crate) fn socket_type(socket: &mut zmq::Socket) -> Result<u32, Errno> {
    Ok(int_option(socket, zmq_sys::ZMQ_TYPE as c_int)? as u32)
}

/// Sets an option whose value is an int.
fn set_int_option(socket: &mut zmq::Socket, option: c_int, value: c_int) -> Result<(), Errno> {
    let (value, size) = (ptr::from_ref(&value).cast(), size_of::<c_int>());
    // SAFETY: the socket is live; the value is one int of `size` bytes, which outlives the call.
    check(unsafe { zmq_sys::zmq_setsockopt(socket.as_mut_ptr(), option, value, size) }).map(drop)
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

/// Sends a frame without waiting; it stays as it was. Its content isn't copied, but shared. (`zmq::Socket::send` drops a
/// frame that it can't send, and libzmq would remove its properties.)
pub(crate) fn try_send(socket: &zmq::Socket, frame: &mut zmq::Message, more: bool) -> Result<(), Errno> {
    // `zmq::Message` is a struct around a `zmq_msg_t`: where both have one size, it begins where the struct does.
    const { assert!(size_of::<zmq::Message>() == size_of::<zmq_sys::zmq_msg_t>()) };
    let frame = ptr::from_mut(frame).cast::<zmq_sys::zmq_msg_t>();
    let mut copy = zmq_sys::zmq_msg_t::default();
    // SAFETY: a live socket, an initialised message and another that the first call initialises. It stays initialised
    // whatever the result of the next two, until it is closed, which can't fail.
    unsafe {
        zmq_sys::zmq_msg_init(&mut copy);
        let sent = check(zmq_sys::zmq_msg_copy(&mut copy, frame))
            .and_then(|_| check(zmq_sys::zmq_msg_send(&mut copy, pointer(socket), send_flags(more))));
        zmq_sys::zmq_msg_close(&mut copy);
        sent.map(drop)
    }
}

fn send_flags(more: bool) -> c_int {
    let more = if more { zmq_sys::ZMQ_SNDMORE } else { 0 };
    (zmq_sys::ZMQ_DONTWAIT | more) as c_int
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

#[cfg(test)]
mod tests;
