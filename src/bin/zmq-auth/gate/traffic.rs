//! What the kinds of gates have in common: messages that are moved between two sockets, frame by frame and uncopied.

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

    /// Moves messages of the service to clients.
    fn to_clients(&mut self, front: &zmq::Socket, back: &zmq::Socket) -> zmq::Result<Progress>;

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

pub(super) fn is_writable(socket: &zmq::Socket) -> zmq::Result<bool> {
    Ok(socket.get_events()?.contains(zmq::POLLOUT))
}

/// Receives a whole message; `false` where there is none.
pub(super) fn receive(socket: &zmq::Socket, frames: &mut Vec<zmq::Message>) -> zmq::Result<bool> {
    frames.clear();
    loop {
        // The frames of a message arrive together: none of the rest is waited for.
        match socket.recv_msg(if frames.is_empty() { zmq::DONTWAIT } else { 0 }) {
            Ok(frame) => {
                let more = frame.get_more();
                frames.push(frame);
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

/// Sends all frames, as the rest of a message or a whole one; `false` where the socket doesn't take the first.
pub(super) fn send(socket: &zmq::Socket, frames: impl ExactSizeIterator<Item = zmq::Message>) -> zmq::Result<bool> {
    let mut left = frames.len();
    for frame in frames {
        left -= 1;
        if !send_frame(socket, frame, left > 0)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sends one frame without waiting; `false` where the socket doesn't take it.
pub(super) fn send_frame(socket: &zmq::Socket, frame: impl Into<zmq::Message>, more: bool) -> zmq::Result<bool> {
    match socket.send(frame, zmq::DONTWAIT | if more { zmq::SNDMORE } else { 0 }) {
        Ok(()) => Ok(true),
        Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => Ok(false),
        Err(error) => Err(error),
    }
}
