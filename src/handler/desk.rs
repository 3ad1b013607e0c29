//! The exchange at its socket: messages in, replies out, calls handed to the face that can run them.

use std::time::Instant;

use super::exchange::{CallId, Exchange, Late, Step};
use crate::error::{Error, Result};
use crate::ffi::{Errno, Frame, HandlerSocket};
use crate::libzmq;
use crate::policy::{Answer, Authenticator, Call, Reason};
use crate::zap::{ENDPOINT, VERSION};

/// So many requests are answered before the face looks at deadlines and answers of callbacks again.
const ROUND: usize = 256;
/// So many rounds of requests are still put off when the handler stops: a flood doesn't hold it up.
const LAST_ROUNDS: usize = 40;
/// More frames than any request has; further ones are read and forgotten.
const MAX_FRAMES: usize = 16;

/// A call that the face has to run and to bring back with [`Desk::finish`].
pub(crate) type Assignment = (CallId, Call);

/// Whether a round has read all that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
    Drained,
    MoreToRead,
}

/// A bound socket and the exchange behind it.
pub(crate) struct Desk {
    pub(crate) socket: HandlerSocket,
    exchange: Exchange<Box<[u8]>>,
    // Reused from request to request.
    frames: Box<[Frame; MAX_FRAMES]>,
}

impl Desk {
    /// Binds the ZAP endpoint of the context.
    pub(crate) fn open(authenticator: Authenticator, context: &zmq::Context) -> Result<Self> {
        libzmq::check_version()?;
        let socket = HandlerSocket::bind(context, ENDPOINT).map_err(|source| match source {
            Errno::ADDRESS_IN_USE => Error::AlreadyRunning,
            source => Error::Zmq { action: "bind the ZAP endpoint", source },
        })?;
        Ok(Desk {
            socket,
            exchange: Exchange::new(authenticator),
            frames: Box::new(std::array::from_fn(|_| Frame::new())),
        })
    }

    pub(crate) fn authenticator(&self) -> &Authenticator {
        self.exchange.authenticator()
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.exchange.next_deadline()
    }

    /// Answers what is there, up to a bound. Requests that need the program's code are added to `calls`. While
    /// `stopping` says so, every request is put off.
    pub(crate) fn round(&mut self, stopping: impl Fn() -> bool, calls: &mut Vec<Assignment>) -> Result<Round, Errno> {
        for _ in 0..ROUND {
            let Some(count) = self.receive()? else { return Ok(Round::Drained) };
            let handled = self.handle(count, &stopping, calls);
            self.forget_password(count);
            handled?;
        }
        Ok(Round::MoreToRead)
    }

    /// Sends what came of a call. A result that comes too late goes nowhere.
    pub(crate) fn finish(&mut self, id: CallId, answer: Answer, stopping: impl Fn() -> bool) -> Result<(), Errno> {
        match self.exchange.finish(id, answer) {
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
        while let Some((id, late)) = self.exchange.expire(now) {
            expired(id);
            self.send_late(&late)?;
        }
        Ok(())
    }

    /// Answers everybody who still waits with 300: they may try again when a handler is back.
    pub(crate) fn turn_away(&mut self) -> Result<(), Errno> {
        while let Some(late) = self.exchange.give_up() {
            self.send_late(&late)?;
        }
        for _ in 0..LAST_ROUNDS {
            if self.round(|| true, &mut Vec::new())? == Round::Drained {
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

    fn handle(&mut self, count: usize, stopping: &impl Fn() -> bool, calls: &mut Vec<Assignment>) -> Result<(), Errno> {
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
            self.exchange.refuse(request, Reason::Stopping)
        } else {
            self.exchange.receive(request, Instant::now, || Box::from(&identity[..]))
        };
        match step {
            Step::Drop => Ok(()),
            Step::Answer => {
                // The program's logger may have held up the decision until after `stop` gave up waiting.
                if stopping() {
                    self.exchange.withdraw(Reason::Stopping);
                }
                self.answer()
            }
            Step::Run(id, call) => {
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
        send(&mut self.socket, &self.exchange.reply().verdict())
    }

    fn send_late(&mut self, late: &Late<Box<[u8]>>) -> Result<(), Errno> {
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
