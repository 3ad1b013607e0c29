//! What these tests do behind the safe crates' back: messages of foreign memory, limits and signals of the process.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::mpsc::Sender;

/// Sends one frame, the last of its message, out of memory that can't be written to.
pub(crate) fn send_constant(socket: &mut zmq::Socket, bytes: &'static [u8]) {
    // SAFETY: a live socket; the bytes stay as they are for ever.
    let rc = unsafe { zmq_sys::zmq_send_const(socket.as_mut_ptr(), bytes.as_ptr().cast(), bytes.len(), 0) };
    assert_eq!(usize::try_from(rc), Ok(bytes.len()));
}

/// Sends one frame, the last of its message, and gets its bytes back as they are when its receiver lets go of it.
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

/// A message of which somebody else has the same bytes.
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

/// Whether the socket enforces its ZAP domain.
pub(crate) fn enforces_domain(socket: &mut zmq::Socket) -> bool {
    const ZMQ_ZAP_ENFORCE_DOMAIN: c_int = 93;
    let (mut value, mut size): (c_int, usize) = (-1, size_of::<c_int>());
    // SAFETY: a live socket; the value is an int of `size` bytes.
    let rc = unsafe {
        let value = (&raw mut value).cast();
        zmq_sys::zmq_getsockopt(socket.as_mut_ptr(), ZMQ_ZAP_ENFORCE_DOMAIN, value, &mut size)
    };
    assert_eq!(rc, 0);
    value != 0
}

/// Has a write to a pipe without a reader end the process, as in a program in C.
pub(crate) fn die_of_broken_pipes() {
    // SAFETY: the default action is no function of ours.
    assert_ne!(unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) }, libc::SIG_ERR);
}

/// Runs something while the process may have descriptors below this number only.
#[cfg(target_os = "linux")]
pub(crate) fn with_descriptors_below<T>(number: u64, run: impl FnOnce() -> T) -> T {
    let mut before = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is ours.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut before) }, 0);
    let limit = libc::rlimit { rlim_cur: number, rlim_max: before.rlim_max };
    // SAFETY: the struct is only read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let result = run();
    // SAFETY: the struct is only read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &before) }, 0);
    result
}

/// What the kernel refuses from now on, and to whom. It can't be taken back.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy)]
pub(crate) enum Refuse {
    /// `eventfd`, to this thread, as if the whole system had no descriptor left.
    Descriptors,
    /// Threads, to this thread and those that it has started.
    Threads,
    /// Threads, to every thread of the process.
    ThreadsToAll,
}

#[cfg(target_os = "linux")]
impl Refuse {
    pub(crate) fn install(self) {
        let (calls, error, flags) = match self {
            Refuse::Descriptors => (&[libc::SYS_eventfd2][..], libc::ENFILE, 0),
            Refuse::Threads => (&[libc::SYS_clone, libc::SYS_clone3][..], libc::EAGAIN, 0),
            Refuse::ThreadsToAll => {
                (&[libc::SYS_clone, libc::SYS_clone3][..], libc::EAGAIN, libc::SECCOMP_FILTER_FLAG_TSYNC)
            }
        };
        let mut filter = filter(calls, error);
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: plain numbers; the program is read before the call returns.
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            let set = libc::SECCOMP_SET_MODE_FILTER;
            assert_eq!(libc::syscall(libc::SYS_seccomp, set, flags, &raw const program), 0);
        }
    }
}

/// A program of seccomp(2): these calls fail with this error, the others go on.
#[cfg(target_os = "linux")]
fn filter(calls: &[libc::c_long], error: c_int) -> Vec<libc::sock_filter> {
    let statement = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let ret = libc::BPF_RET | libc::BPF_K;
    // The number of the call is the first word.
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (n, call) in calls.iter().enumerate() {
        // Over the rest of the comparisons and the permission.
        let jt = (calls.len() - n) as u8;
        filter.push(libc::sock_filter { jt, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *call as u32) });
    }
    filter.push(statement(ret, libc::SECCOMP_RET_ALLOW));
    filter.push(statement(ret, libc::SECCOMP_RET_ERRNO | error as u32));
    filter
}
