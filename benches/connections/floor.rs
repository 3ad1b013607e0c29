//! The minimal handler: raw libzmq calls on a ROUTER socket, 200 to every request, no allocation.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::thread::{self, JoinHandle};

use anyhow::{Result, ensure};
use zmq_sys::{
    ZMQ_DONTWAIT, ZMQ_POLLIN, ZMQ_SNDMORE, zmq_msg_init, zmq_msg_more, zmq_msg_recv, zmq_msg_send, zmq_msg_t, zmq_poll,
    zmq_pollitem_t, zmq_send,
};

/// A request's frames: the envelope (2), eight of RFC 27, and one of CURVE's credentials.
const FRAMES: usize = 11;

/// Binds the ZAP endpoint, and answers all requests until the process ends.
pub(crate) fn start(context: &zmq::Context) -> Result<JoinHandle<Result<()>>> {
    let socket = context.socket(zmq::ROUTER)?;
    socket.bind("inproc://zeromq.zap.01")?;
    Ok(thread::spawn(move || {
        let mut socket = socket;
        serve(socket.as_mut_ptr())
    }))
}

fn serve(socket: *mut c_void) -> Result<()> {
    let mut frames = [zmq_msg_t::default(); FRAMES];
    for frame in &mut frames {
        // SAFETY: a struct of the right size, which stays where it is.
        unsafe { zmq_msg_init(frame) };
    }
    loop {
        let mut item = zmq_pollitem_t { socket, fd: 0, events: ZMQ_POLLIN as i16, revents: 0 };
        // SAFETY: one item, of a live socket.
        ensure!(unsafe { zmq_poll(&mut item, 1, -1) } != -1, "poll: {}", std::io::Error::last_os_error());
        while receive(socket, &mut frames) {
            let [client, _, _, id, ..] = &mut frames;
            send_frame(socket, client);
            send(socket, b"", true);
            send(socket, b"1.0", true);
            send_frame(socket, id);
            send(socket, b"200", true);
            send(socket, b"OK", true);
            send(socket, b"user", true);
            send(socket, b"", false);
        }
    }
}

/// Whether there was a request.
fn receive(socket: *mut c_void, frames: &mut [zmq_msg_t; FRAMES]) -> bool {
    for frame in frames {
        // SAFETY: a live socket and an initialised message.
        if unsafe { zmq_msg_recv(frame, socket, ZMQ_DONTWAIT as c_int) } == -1 {
            return false;
        }
        // SAFETY: an initialised message.
        if unsafe { zmq_msg_more(frame) } == 0 {
            return true;
        }
    }
    panic!("libzmq's requests have {FRAMES} frames");
}

/// Sends a frame that isn't the last one.
fn send_frame(socket: *mut c_void, frame: &mut zmq_msg_t) {
    // SAFETY: a live socket and an initialised message, which is initialised and empty after it was sent.
    unsafe { zmq_msg_send(frame, socket, (ZMQ_DONTWAIT | ZMQ_SNDMORE) as c_int) };
}

fn send(socket: *mut c_void, bytes: &[u8], more: bool) {
    let flags = ZMQ_DONTWAIT | if more { ZMQ_SNDMORE } else { 0 };
    // SAFETY: a live socket; the bytes are copied before the call returns.
    unsafe { zmq_send(socket, bytes.as_ptr().cast(), bytes.len(), flags as c_int) };
}
