//! Control of a gate's loop from outside: flags, and a pipe that wakes the loop.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The controlling end.
#[derive(Clone)]
pub(crate) struct Control(Arc<Told>);

struct Told {
    stop: AtomicBool,
    check: AtomicBool,
    /// How often the loop has turned.
    turns: AtomicU64,
    has_ended: AtomicBool,
    wake: UnixStream,
}

/// The end that the loop waits on.
pub(crate) struct Woken {
    told: Control,
    wake: UnixStream,
}

impl Control {
    pub(crate) fn new() -> io::Result<(Self, Woken)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let control = Control(Arc::new(Told {
            stop: AtomicBool::new(false),
            check: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            wake: ours,
        }));
        Ok((control.clone(), Woken { told: control, wake: theirs }))
    }

    /// Makes the loop pass on pending messages, and end.
    pub(crate) fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// Makes the loop check all clients against the policy.
    pub(crate) fn check(&self) {
        self.0.check.store(true, Ordering::Release);
        self.wake();
    }

    /// How often the loop has turned; `None` once it has ended.
    pub(crate) fn turns(&self) -> Option<u64> {
        let turns = self.0.turns.load(Ordering::Relaxed);
        (!self.0.has_ended.load(Ordering::Acquire)).then_some(turns)
    }

    fn wake(&self) {
        // If the pipe is full, the loop is awake already.
        let _ = (&self.0.wake).write(&[0]);
    }
}

impl Woken {
    pub(crate) fn descriptor(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// Empties the pipe. Call it before reading the flags.
    pub(crate) fn drain(&mut self) {
        let mut buffer = [0; 64];
        while matches!(self.wake.read(&mut buffer), Ok(count) if count > 0) {}
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.told.0.stop.load(Ordering::Acquire)
    }

    pub(crate) fn take_check(&self) -> bool {
        self.told.0.check.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn turned(&self) {
        self.told.0.turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        self.told.0.has_ended.store(true, Ordering::Release);
    }
}
