//! Wakes the handler thread out of `zmq_poll`: a pipe, so that nobody but the thread holds a socket of the context.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Held by everyone who has something for the handler thread.
#[derive(Debug, Clone)]
pub(crate) struct Waker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // At most one byte is in the pipe, so that a write never blocks.
    rung: AtomicBool,
    writer: PipeWriter,
}

/// Held by the handler thread.
#[derive(Debug)]
pub(crate) struct Bell {
    inner: Arc<Inner>,
    reader: PipeReader,
}

pub(crate) fn bell() -> Result<(Waker, Bell)> {
    let (reader, writer) = pipe().map_err(Error::Pipe)?;
    let inner = Arc::new(Inner { rung: AtomicBool::new(false), writer });
    Ok((Waker(inner.clone()), Bell { inner, reader }))
}

impl Waker {
    pub(crate) fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the handler thread is gone, and then there is nobody to wake.
            let _ = (&self.0.writer).write(&[1]);
        }
    }
}

impl Bell {
    pub(crate) fn descriptor(&self) -> RawFd {
        self.reader.as_raw_fd()
    }

    /// To be called once the descriptor is readable, before looking at what the wakers left.
    pub(crate) fn silence(&mut self) {
        let _ = self.reader.read(&mut [0]);
        self.inner.rung.store(false, Ordering::Release);
    }
}
