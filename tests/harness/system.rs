//! System calls for which no safe crate exists: limits, users, seccomp filters, fork, signals.
#![allow(unsafe_code)]

use std::ffi::c_int;

type Resource = libc::__rlimit_resource_t;

fn limit(resource: Resource) -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is ours.
    assert_eq!(unsafe { libc::getrlimit(resource, &mut limit) }, 0);
    limit
}

fn set(resource: Resource, limit: libc::rlimit) {
    // SAFETY: the struct is only read.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

/// Raises the limit of descriptors as far as possible, and returns it.
pub fn raise_descriptors() -> u64 {
    let most = limit(libc::RLIMIT_NOFILE).rlim_max;
    set(libc::RLIMIT_NOFILE, libc::rlimit { rlim_cur: most, rlim_max: most });
    most
}

/// Limits this process's descriptors to numbers below this one; returns the previous limit.
pub fn limit_descriptors(number: u64) -> u64 {
    let before = limit(libc::RLIMIT_NOFILE);
    set(libc::RLIMIT_NOFILE, libc::rlimit { rlim_cur: number, ..before });
    before.rlim_cur
}

/// The limit that leaves exactly this many descriptors free.
pub fn descriptor_limit(spare: usize) -> u64 {
    let open = |number: &u64| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
    (0..).filter(|number| !open(number)).nth(spare).expect("numbers don't end")
}

/// Runs something while exactly this many descriptors are free.
pub fn with_spare_descriptors<T>(spare: usize, run: impl FnOnce() -> T) -> T {
    let before = limit_descriptors(descriptor_limit(spare));
    let result = run();
    limit_descriptors(before);
    result
}

/// Limits the size of files; a write beyond it gives EFBIG instead of a signal. Returns the previous limit.
pub fn limit_file_size(bytes: u64) -> u64 {
    // SAFETY: ignoring a signal runs no function of ours.
    assert_ne!(unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) }, libc::SIG_ERR);
    let before = limit(libc::RLIMIT_FSIZE);
    set(libc::RLIMIT_FSIZE, libc::rlimit { rlim_cur: bytes, ..before });
    before.rlim_cur
}

/// Limits the memory that this process may lock; doesn't apply to root. Returns the previous limit.
pub fn limit_locked_memory(bytes: u64) -> u64 {
    let before = limit(libc::RLIMIT_MEMLOCK);
    set(libc::RLIMIT_MEMLOCK, libc::rlimit { rlim_cur: bytes, ..before });
    before.rlim_cur
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    // SAFETY: it only reads.
    unsafe { libc::geteuid() == 0 }
}

/// Makes this process run as nobody, permanently. Only root can do that.
pub fn become_nobody() {
    const NOBODY: u32 = 65_534;
    // SAFETY: plain numbers.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setgid(NOBODY), 0);
        assert_eq!(libc::setuid(NOBODY), 0);
    }
}

/// The threads to which a filter of [`refuse`] applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This thread, and those that it starts.
    Thread,
    Process,
}

/// Makes these calls fail with this error from now on (seccomp(2)). It can't be undone.
pub fn refuse(calls: &[libc::c_long], error: c_int, scope: Scope) {
    let statement = |code: u32, k| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let ret = libc::BPF_RET | libc::BPF_K;
    // The first word is the number of the call.
    let mut filter = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (n, call) in calls.iter().enumerate() {
        // Jumps over the rest of the comparisons and the permission.
        let jt = (calls.len() - n) as u8;
        filter.push(libc::sock_filter { jt, ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *call as u32) });
    }
    filter.push(statement(ret, libc::SECCOMP_RET_ALLOW));
    filter.push(statement(ret, libc::SECCOMP_RET_ERRNO | error as u32));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let flags = if scope == Scope::Process { libc::SECCOMP_FILTER_FLAG_TSYNC } else { 0 };
    // SAFETY: plain numbers; the program is read before the call returns.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program), 0);
    }
}

/// From now on, a write to a pipe without a reader ends the process, as in a C program.
pub fn die_of_broken_pipes() {
    // SAFETY: the default action runs no function of ours.
    assert_ne!(unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) }, libc::SIG_ERR);
}

/// Forks: the child runs `child` and calls `_exit` with the result. Returns the child's id.
pub fn fork(child: impl FnOnce() -> u8) -> c_int {
    // SAFETY: the child has only this thread. What it runs is what the test is about.
    match unsafe { libc::fork() } {
        -1 => panic!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
            // SAFETY: it ends the process, without exit handlers.
            unsafe { libc::_exit(code.into()) }
        }
        pid => pid,
    }
}

/// How a forked child has ended, if it has: its exit code, or the negative number of the signal that killed it.
pub fn ended(pid: c_int) -> Option<c_int> {
    let mut status = 0;
    // SAFETY: the number is ours.
    match unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } {
        0 => None,
        -1 => panic!("waitpid: {}", std::io::Error::last_os_error()),
        _ if libc::WIFEXITED(status) => Some(libc::WEXITSTATUS(status)),
        _ => Some(-libc::WTERMSIG(status)),
    }
}

/// The CPU time of this thread so far, which other processes don't affect.
pub fn thread_cpu_time() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is ours.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Sends SIGKILL to a child of ours.
pub fn kill(pid: c_int) {
    // SAFETY: plain numbers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

/// Makes the allocator return freed memory to the system, so that resident memory is what is in use. (For glibc; other
/// allocators behave as they do.)
pub fn give_back_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it only touches free memory.
    unsafe {
        libc::malloc_trim(0);
    }
}
