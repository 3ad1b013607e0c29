//! A pipe that wakes the handler thread, so that no other thread needs a socket of the context.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Held by everything that has work for the handler thread.
#[derive(Debug, Clone)]
pub(crate) struct WakeSender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Keeps the pipe to one byte, so that a write never blocks.
    signalled: AtomicBool,
    writer: PipeWriter,
    // Kept with the writer, so that the pipe always has a reader: a write without one raises SIGPIPE.
    reader: PipeReader,
}

/// Held by the handler thread.
#[derive(Debug)]
pub(crate) struct WakeReceiver(Arc<Inner>);

pub(crate) fn wake_channel() -> Result<(WakeSender, WakeReceiver)> {
    let (reader, writer) = pipe().map_err(Error::Pipe)?;
    let inner = Arc::new(Inner { signalled: AtomicBool::new(false), writer, reader });
    Ok((WakeSender(inner.clone()), WakeReceiver(inner)))
}

impl WakeSender {
    pub(crate) fn wake(&self) {
        if !self.0.signalled.swap(true, Ordering::AcqRel) {
            // One byte always fits. If it fails anyway, the handler looks again when its next message arrives.
            let _ = (&self.0.writer).write(&[1]);
        }
    }
}

impl WakeReceiver {
    pub(crate) fn descriptor(&self) -> RawFd {
        self.0.reader.as_raw_fd()
    }

    /// Call this when the descriptor is readable, before looking for work from the senders.
    pub(crate) fn drain(&mut self) {
        let _ = (&self.0.reader).read(&mut [0]);
        // A swap, not a store: it synchronizes with a sender that found the flag set and so didn't write a byte. That
        // sender's work is visible after this.
        self.0.signalled.swap(false, Ordering::AcqRel);
    }
}
