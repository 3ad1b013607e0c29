//! A pipe that wakes the handler thread out of its poll: so nobody but the thread holds a socket of the context.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Held by everyone who has something for the handler thread.
#[derive(Debug, Clone)]
pub(crate) struct WakeSender(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // At most one byte is in the pipe, so that a write never blocks.
    signalled: AtomicBool,
    writer: PipeWriter,
    // Here, so that there is a reader for as long as there is a writer: a write to a pipe without one is SIGPIPE.
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
            // One byte always fits. Should it fail, the handler looks again when its next message comes.
            let _ = (&self.0.writer).write(&[1]);
        }
    }
}

impl WakeReceiver {
    pub(crate) fn descriptor(&self) -> RawFd {
        self.0.reader.as_raw_fd()
    }

    /// Call it once the descriptor is readable, before looking at what the senders left.
    pub(crate) fn drain(&mut self) {
        let _ = (&self.0.reader).read(&mut [0]);
        // A swap, not a store: what a sender left before it found the wake_receiver signalled is seen after this.
        self.0.signalled.swap(false, Ordering::AcqRel);
    }
}
