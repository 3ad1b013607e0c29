//! Descriptors that libzmq has opened: copies of them, and what Linux knows about their sockets.

use std::ffi::c_int;
use std::io;
use std::mem::ManuallyDrop;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;

/// A place for the copy of a descriptor, which is taken once: a copy can be made when the process has no descriptor left.
pub(crate) struct CopyPlace {
    pub(super) place: OwnedFd,
    /// What is there while there is no copy.
    pub(super) filler: OwnedFd,
}

impl CopyPlace {
    pub(crate) fn new() -> io::Result<Self> {
        let (place, filler) = UnixStream::pair()?;
        Ok(CopyPlace { place: place.into(), filler: filler.into() })
    }

    /// Looks at a copy of the connection with this number, which can't become another's meanwhile. A number that isn't open
    /// is EBADF. (The type asks nothing about the kind of socket.) After any other error, drop the place: a copy that stayed
    /// there would keep the connection open.
    pub(crate) fn with_copy<T>(&mut self, descriptor: RawFd, look: impl FnOnce(&TcpStream) -> T) -> io::Result<T> {
        match self.put(descriptor) {
            Ok(()) => {}
            // EBADF also if the process's limit on descriptors was lowered below the place's number.
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
                return duplicate(descriptor).map(|copy| look(&TcpStream::from(copy)));
            }
            Err(error) => return Err(error),
        }
        // SAFETY: the place is open, and stays so: the stream is never dropped, and doesn't outlive this call.
        let copy = ManuallyDrop::new(unsafe { TcpStream::from_raw_fd(self.place.as_raw_fd()) });
        let seen = look(&copy);
        // Not as EBADF, which would say that nothing is open at the number.
        self.put(self.filler.as_raw_fd()).map_err(io::Error::other)?;
        Ok(seen)
    }

    /// Closes what is in the place, and puts a copy there.
    fn put(&self, descriptor: RawFd) -> io::Result<()> {
        loop {
            // SAFETY: takes numbers; the second is that of our own place, which nobody else uses.
            if unsafe { libc::dup3(descriptor, self.place.as_raw_fd(), libc::O_CLOEXEC) } != -1 {
                return Ok(());
            }
            match io::Error::last_os_error() {
                // Linux may say EBUSY while another thread opens a descriptor.
                error if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ResourceBusy) => {}
                error => return Err(error),
            }
        }
    }
}

/// A copy of a descriptor, wherever there is room for it.
fn duplicate(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers; one that isn't open is an error.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0) };
    if copy == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// `SO_COOKIE`: a number that no other socket has had since the system started. Use it only for reading: anything else needs
/// a duplicate of the descriptor.
pub(crate) fn cookie(descriptor: RawFd) -> io::Result<u64> {
    let mut cookie = 0;
    // SAFETY: the option's value is a u64.
    unsafe { socket_option(descriptor, libc::SO_COOKIE, &mut cookie) }.map(|()| cookie)
}

/// `SO_PEERCRED`: the process at the other end of an ipc connection, as (uid, gid, pid).
pub(crate) fn peer_credentials(descriptor: RawFd) -> io::Result<(u32, u32, i32)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    // SAFETY: the option's value is this struct of three ints.
    unsafe { socket_option(descriptor, libc::SO_PEERCRED, &mut peer) }.map(|()| (peer.uid, peer.gid, peer.pid))
}

/// Reads an option of a system socket; a descriptor that isn't open, or isn't a socket, is an error.
///
/// # Safety
/// The option's value must be a `T`, and any bytes must be a valid `T`.
unsafe fn socket_option<T>(descriptor: RawFd, option: c_int, value: &mut T) -> io::Result<()> {
    let mut size = size_of::<T>() as libc::socklen_t;
    // SAFETY: takes a number; at most the `size` bytes of the value are written.
    let rc = unsafe { libc::getsockopt(descriptor, libc::SOL_SOCKET, option, ptr::from_mut(value).cast(), &mut size) };
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
