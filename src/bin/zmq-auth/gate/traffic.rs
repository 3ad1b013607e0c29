//! Moving messages between two sockets, frame by frame and without copying: what all kinds of gates share.

use std::vec::Drain;

use zmq_auth::{SocketExt, zmq};

/// How many messages are moved in one direction before the other's turn.
pub(super) const BATCH: usize = 256;

/// Why moving messages in one direction stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There was nothing more to receive.
    Drained,
    /// There may be more.
    More,
    /// The receiving socket takes nothing now.
    Blocked,
}

/// One kind of gate: reply, publish or collect.
pub(super) trait Traffic {
    /// Moves messages of clients to the service.
    fn to_service(&mut self, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<Progress>;

    /// Whether `to_service` must wait while the service is away.
    fn waits_for_service(&self) -> bool {
        true
    }

    /// Whether the service sends anything.
    fn has_answers(&self) -> bool {
        true
    }

    /// Sends messages of the service to clients: whole ones, as a sequence of frames.
    fn to_clients(&mut self, front: &zmq::Socket, frames: Drain<'_, zmq::Message>) -> zmq::Result<()>;

    /// Begins to check all clients against the policy.
    fn begin_check(&mut self);

    /// Checks some of them, and returns whether there are more.
    fn check_some(&mut self, back: &zmq::Socket) -> zmq::Result<bool>;

    /// Whether no client waits for anything.
    fn is_idle(&self) -> bool {
        true
    }

    /// The service's connection was lost, and whatever it had received.
    fn service_lost(&mut self) {}
}

/// Moves messages of clients as long as the service takes them. `pass` sends a message or drops it, or returns `false`
/// if the service's socket takes nothing now; then the message stays in `frames` unchanged for the next call.
pub(super) fn forward(
    front: &zmq::Socket,
    frames: &mut Vec<zmq::Message>,
    mut pass: impl FnMut(&mut Vec<zmq::Message>) -> zmq::Result<bool>,
) -> zmq::Result<Progress> {
    for _ in 0..BATCH {
        if frames.is_empty() && !receive(front, frames)? {
            return Ok(Progress::Drained);
        }
        if !pass(frames)? {
            return Ok(Progress::Blocked);
        }
        frames.clear();
    }
    Ok(Progress::More)
}

/// Receives a batch of whole messages.
pub(super) fn receive_batch(socket: &zmq::Socket, frames: &mut Vec<zmq::Message>) -> zmq::Result<Progress> {
    for _ in 0..BATCH {
        if !receive(socket, frames)? {
            return Ok(Progress::Drained);
        }
    }
    Ok(Progress::More)
}

/// Receives a whole message; `false` if there is none.
fn receive(socket: &zmq::Socket, frames: &mut Vec<zmq::Message>) -> zmq::Result<bool> {
    let mut is_first = true;
    loop {
        // The frames of a message arrive together, so this never blocks.
        match socket.recv_msg(if is_first { zmq::DONTWAIT } else { 0 }) {
            Ok(frame) => {
                let more = frame.get_more();
                frames.push(frame);
                is_first = false;
                if !more {
                    return Ok(true);
                }
            }
            Err(zmq::Error::EAGAIN) => return Ok(false),
            Err(zmq::Error::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Clears the command flag of a client's frames. libzmq delivers a SUBSCRIBE or CANCEL command (RFC 37) of any client
/// as a frame, and would send it on as a command. A service may drop that, and join the rest with the next client's
/// message.
pub(super) fn unmark_commands(frames: &mut [zmq::Message]) {
    for frame in frames {
        if frame.starts_with(b"\x09SUBSCRIBE") || frame.starts_with(b"\x06CANCEL") {
            *frame = zmq::Message::from(&frame[..]);
        }
    }
}

/// Sends the first frame of a message without blocking, or gives it back if the socket takes nothing now.
pub(super) fn try_send_first(socket: &zmq::Socket, frames: &mut [zmq::Message]) -> zmq::Result<bool> {
    let more = frames.len() > 1;
    let Some(first) = frames.first_mut() else { return Ok(true) };
    match socket.try_send(std::mem::replace(first, zmq::Message::new()), more)? {
        None => Ok(true),
        Some(returned) => {
            *first = returned;
            Ok(false)
        }
    }
}

/// Sends the rest of a message whose first frame the socket took; `false` if the message is lost, as when the service
/// goes away. Even then libzmq needs all frames, which it drops: otherwise it would take the next message for the rest.
pub(super) fn send_rest(
    socket: &zmq::Socket,
    frames: impl ExactSizeIterator<Item = zmq::Message>,
) -> zmq::Result<bool> {
    let (mut left, mut is_sent) = (frames.len(), true);
    for frame in frames {
        left -= 1;
        is_sent &= send_frame(socket, frame, left > 0)?;
    }
    Ok(is_sent)
}

/// Sends one frame without blocking; `false` if the socket doesn't take it. (Signals don't reach a gate's thread.)
pub(super) fn send_frame(socket: &zmq::Socket, frame: impl Into<zmq::Message>, more: bool) -> zmq::Result<bool> {
    match socket.send(frame, zmq::DONTWAIT | if more { zmq::SNDMORE } else { 0 }) {
        Ok(()) => Ok(true),
        Err(zmq::Error::EAGAIN) => Ok(false),
        Err(error) => Err(error),
    }
}
