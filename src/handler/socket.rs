//! The ZAP socket: the engine on a ROUTER socket. It returns the calls that the front end has to run.

use std::time::Instant;

use super::engine::{Action, CallId, DeferredReply, Engine, NewCall};
use crate::authenticator::Authenticator;
use crate::callback::Decision;
use crate::error::{Error, Result};
use crate::ffi::{Errno, Frame, HandlerSocket};
use crate::reason::Reason;
use crate::version;
use crate::zap::{ENDPOINT, VERSION};

/// The number of requests that are processed before the front end checks deadlines and callbacks again.
const BATCH: usize = 256;
/// The number of batches that are still refused when the handler stops, so that a flood doesn't delay it.
const LAST_BATCHES: usize = 40;
/// More frames than any request has; further ones are discarded.
const MAX_FRAMES: usize = 16;

/// Whether a batch emptied the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batch {
    Drained,
    MoreToRead,
}

/// A bound socket and the engine behind it.
pub(crate) struct ZapSocket {
    pub(crate) socket: HandlerSocket,
    engine: Engine<Box<[u8]>>,
    // Reused for every request.
    frames: Box<[Frame; MAX_FRAMES]>,
}

impl ZapSocket {
    /// Binds the ZAP endpoint of the context.
    pub(crate) fn open(authenticator: Authenticator, context: &zmq::Context) -> Result<Self> {
        version::check_version()?;
        let socket = HandlerSocket::bind(context, ENDPOINT).map_err(|source| match source {
            Errno::ADDRESS_IN_USE => Error::AlreadyRunning,
            source => Error::Zmq { action: "bind the ZAP endpoint", source },
        })?;
        Ok(ZapSocket {
            socket,
            engine: Engine::new(authenticator),
            frames: Box::new(std::array::from_fn(|_| Frame::new())),
        })
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        self.engine.authenticator()
    }

    /// When [`expire`](Self::expire) must be called next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }

    /// Replies to the queued requests, up to a bound, and adds the calls to run to `calls`: their decisions go to
    /// [`finish`](Self::finish). While `stopping` returns true, every request is refused with Retry.
    pub(crate) fn process_batch(
        &mut self,
        stopping: impl Fn() -> bool,
        calls: &mut Vec<NewCall>,
    ) -> Result<Batch, Errno> {
        for _ in 0..BATCH {
            let Some(count) = self.receive()? else { return Ok(Batch::Drained) };
            let handled = self.handle(count, &stopping, calls);
            self.forget_password(count);
            handled?;
        }
        Ok(Batch::MoreToRead)
    }

    /// Sends the decision of a call, unless it is too late.
    pub(crate) fn finish(&mut self, id: CallId, decision: Decision, stopping: impl Fn() -> bool) -> Result<(), Errno> {
        match self.engine.finish(id, decision) {
            Some(mut late) => {
                if stopping() {
                    Reason::Stopping.refuse(&mut late.reply);
                }
                self.send_late(&late)
            }
            None => Ok(()),
        }
    }

    /// Refuses the requests whose deadline has passed, each for the reason that `overdue` returns.
    pub(crate) fn expire(&mut self, now: Instant, mut overdue: impl FnMut(CallId) -> Reason) -> Result<(), Errno> {
        while let Some(late) = self.engine.expire(now, &mut overdue) {
            self.send_late(&late)?;
        }
        Ok(())
    }

    /// Refuses every waiting request with Retry: its client retries, perhaps with the next handler.
    pub(crate) fn reject_pending(&mut self) -> Result<(), Errno> {
        while let Some(late) = self.engine.cancel_next() {
            self.send_late(&late)?;
        }
        for _ in 0..LAST_BATCHES {
            if self.process_batch(|| true, &mut Vec::new())? == Batch::Drained {
                break;
            }
        }
        Ok(())
    }

    /// Reads one message into the first frames, and returns their number; `None` if there is no message.
    fn receive(&mut self) -> Result<Option<usize>, Errno> {
        let mut count = 0;
        loop {
            let slot = count.min(MAX_FRAMES - 1);
            let more = match self.socket.receive(&mut self.frames[slot]) {
                Err(Errno::INTERRUPTED) => continue,
                // The frames of a message arrive together: only the first can be missing.
                Err(Errno::AGAIN) => return Ok(None),
                more => more?,
            };
            count = slot + 1;
            if !more {
                return Ok(Some(count));
            }
        }
    }

    fn handle(&mut self, count: usize, stopping: &impl Fn() -> bool, calls: &mut Vec<NewCall>) -> Result<(), Errno> {
        // RFC 27: the envelope of a request is the address of its sender and an empty delimiter.
        let Some([identity, delimiter, request @ ..]) = self.frames.get(..count) else {
            self.authenticator().audit().dropped();
            return Ok(());
        };
        if !delimiter.is_empty() {
            self.authenticator().audit().dropped();
            return Ok(());
        }
        let action = if stopping() {
            self.engine.refuse(request, Reason::Stopping)
        } else {
            self.engine.receive(request, Instant::now, || Box::from(&identity[..]))
        };
        match action {
            Action::Drop => Ok(()),
            Action::SendReply => {
                // The program's logger may have delayed the decision until after `stop` gave up waiting.
                if stopping() {
                    self.engine.override_reply(Reason::Stopping);
                }
                self.send_reply()
            }
            Action::Run(call) => {
                calls.push(call);
                Ok(())
            }
        }
    }

    /// Replies to the request in the frames; the envelope frames are sent back unchanged.
    fn send_reply(&mut self) -> Result<(), Errno> {
        let [identity, delimiter, version, request_id, ..] = &mut *self.frames;
        self.socket.send(identity, true)?;
        self.socket.send(delimiter, true)?;
        if **version == *VERSION {
            self.socket.send(version, true)?;
        } else {
            self.socket.send_copy(VERSION, true)?;
        }
        self.socket.send(request_id, true)?;
        send(&mut self.socket, &self.engine.reply().verdict())
    }

    fn send_late(&mut self, late: &DeferredReply<Box<[u8]>>) -> Result<(), Errno> {
        self.socket.send_copy(&late.envelope, true)?;
        self.socket.send_copy(b"", true)?;
        send(&mut self.socket, &late.reply.frames(&late.request_id))
    }

    /// Wipes the password: the frames are reused, but perhaps not soon.
    fn forget_password(&mut self, count: usize) {
        if let Some([_, _, _, _, _, _, _, mechanism, credentials @ ..]) = self.frames.get_mut(..count)
            && **mechanism == *b"PLAIN"
        {
            credentials.iter_mut().for_each(Frame::wipe);
        }
    }
}

/// Sends the last frames of a message.
fn send(socket: &mut HandlerSocket, frames: &[&[u8]]) -> Result<(), Errno> {
    let [head @ .., last] = frames else { return Ok(()) };
    for frame in head {
        socket.send_copy(frame, true)?;
    }
    socket.send_copy(last, false)
}
