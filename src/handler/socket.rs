//! The engine at its socket: messages in, replies out, calls handed to the face that can run them.

use std::time::Instant;

use super::engine::{Action, CallId, DeferredReply, Engine};
use crate::authenticator::Authenticator;
use crate::callback::{Call, Decision};
use crate::error::{Error, Result};
use crate::ffi::{Errno, Frame, HandlerSocket};
use crate::reason::Reason;
use crate::version;
use crate::zap::{ENDPOINT, VERSION};

/// So many requests are answered before the face looks at deadlines and answers of callbacks again.
const BATCH: usize = 256;
/// So many rounds of requests are still put off when the handler stops: a flood doesn't hold it up.
const LAST_BATCHES: usize = 40;
/// More frames than any request has; further ones are read and forgotten.
const MAX_FRAMES: usize = 16;

/// A call that the face has to run and to bring back with [`ZapSocket::finish`].
pub(crate) type NewCall = (CallId, Call);

/// Whether a round has read all that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Batch {
    Drained,
    MoreToRead,
}

/// A bound socket and the engine behind it.
pub(crate) struct ZapSocket {
    pub(crate) socket: HandlerSocket,
    engine: Engine<Box<[u8]>>,
    // Reused from request to request.
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

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.engine.next_deadline()
    }

    /// Answers what is there, up to a bound. Requests that need the program's code are added to `calls`. While
    /// `stopping` says so, every request is put off.
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

    /// Sends what came of a call. A result that comes too late goes nowhere.
    pub(crate) fn finish(&mut self, id: CallId, answer: Decision, stopping: impl Fn() -> bool) -> Result<(), Errno> {
        match self.engine.finish(id, answer) {
            Some(mut late) => {
                if stopping() {
                    Reason::Stopping.refuse(&mut late.reply);
                }
                self.send_late(&late)
            }
            None => Ok(()),
        }
    }

    /// Answers the requests whose call took too long; tells which.
    pub(crate) fn expire(&mut self, now: Instant, mut expired: impl FnMut(CallId)) -> Result<(), Errno> {
        while let Some((id, late)) = self.engine.expire(now) {
            expired(id);
            self.send_late(&late)?;
        }
        Ok(())
    }

    /// Answers everybody who still waits with 300: they may try again when a handler is back.
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

    /// Reads one message into the first frames; tells how many they are, `None` when there is no message.
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
        let step = if stopping() {
            self.engine.refuse(request, Reason::Stopping)
        } else {
            self.engine.receive(request, Instant::now, || Box::from(&identity[..]))
        };
        match step {
            Action::Drop => Ok(()),
            Action::Decision => {
                // The program's logger may have held up the decision until after `stop` gave up waiting.
                if stopping() {
                    self.engine.override_reply(Reason::Stopping);
                }
                self.answer()
            }
            Action::Run(id, call) => {
                calls.push((id, call));
                Ok(())
            }
        }
    }

    /// Sends the reply to the request in the frames; the first of them go back as they came.
    fn answer(&mut self) -> Result<(), Errno> {
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

    /// The frames are used again, but not necessarily soon.
    fn forget_password(&mut self, count: usize) {
        if let Some([_, _, _, _, _, _, _, mechanism, credentials @ ..]) = self.frames.get_mut(..count)
            && **mechanism == *b"PLAIN"
        {
            credentials.iter_mut().for_each(Frame::wipe);
        }
    }
}

/// The last frames of a message.
fn send(socket: &mut HandlerSocket, frames: &[&[u8]]) -> Result<(), Errno> {
    let [head @ .., last] = frames else { return Ok(()) };
    for frame in head {
        socket.send_copy(frame, true)?;
    }
    socket.send_copy(last, false)
}
