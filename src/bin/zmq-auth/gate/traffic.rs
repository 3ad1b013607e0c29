//! What the kinds of gates have in common: messages that are moved between two sockets, frame by frame and uncopied.

use std::vec::Drain;

use zmq_auth::zmq;

/// How many messages are moved in one direction before the other has its turn.
pub(super) const BATCH: usize = 256;

/// How far a direction has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// There was nothing more to receive.
    Drained,
    /// There may be more.
    More,
    /// The other side takes nothing now.
    Blocked,
}

/// One kind of gate: reply, publish or collect.
pub(super) trait Traffic {
    /// Moves messages of clients to the service.
    fn to_service(&mut self, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<Progress>;

    /// Whether that has to wait while the service is away.
    fn waits_for_service(&self) -> bool {
        true
    }

    /// Whether anything comes from the service.
    fn has_answers(&self) -> bool {
        true
    }

    /// Sends whole messages of the service to clients, all their frames one behind the other.
    fn to_clients(&mut self, front: &zmq::Socket, frames: Drain<'_, zmq::Message>) -> zmq::Result<()>;

    /// Has all clients checked against the policy.
    fn begin_check(&mut self);

    /// Checks some of them; tells whether there are more.
    fn check_some(&mut self, back: &zmq::Socket) -> zmq::Result<bool>;

    /// Whether no client waits for anything.
    fn is_idle(&self) -> bool {
        true
    }

    /// What the service had is lost.
    fn service_lost(&mut self) {}
}

/// Moves messages of clients as long as the service takes them: `pass` sends one, or drops it. Where the service's side takes
/// nothing now, `pass` says `false`, and the message stays in `frames` as it was received, for the next time.
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

/// Whether the socket takes a message. It is a system call: where the first frame can be made again, sending it tells as much.
pub(super) fn is_writable(socket: &zmq::Socket) -> zmq::Result<bool> {
    Ok(socket.get_events()?.contains(zmq::POLLOUT))
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

/// Receives a whole message; `false` where there is none.
fn receive(socket: &zmq::Socket, frames: &mut Vec<zmq::Message>) -> zmq::Result<bool> {
    let mut is_first = true;
    loop {
        // The frames of a message arrive together: none of the rest is waited for.
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

/// Takes the mark of a command from a client's frames. libzmq hands a SUBSCRIBE or CANCEL command (RFC 37) of any client out
/// as a frame, and would send it on as a command: a service may drop that, and put what follows into one message with the
/// next client's.
pub(super) fn unmark_commands(frames: &mut [zmq::Message]) {
    for frame in frames {
        if frame.starts_with(b"\x09SUBSCRIBE") || frame.starts_with(b"\x06CANCEL") {
            *frame = zmq::Message::from(&frame[..]);
        }
    }
}

/// Sends the rest of a message whose first frame the socket took; `false` where the message is lost, as when the service goes.
/// libzmq wants the frames up to the last one then, and drops them: the next message would be taken for its rest.
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

/// Sends one frame without waiting; `false` where the socket doesn't take it. (Signals don't reach a gate's thread.)
pub(super) fn send_frame(socket: &zmq::Socket, frame: impl Into<zmq::Message>, more: bool) -> zmq::Result<bool> {
    match socket.send(frame, zmq::DONTWAIT | if more { zmq::SNDMORE } else { 0 }) {
        Ok(()) => Ok(true),
        Err(zmq::Error::EAGAIN) => Ok(false),
        Err(error) => Err(error),
    }
}
