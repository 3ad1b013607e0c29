//! Wiping of password frames: those that only the handler has are wiped, shared ones are left unchanged.

use std::sync::mpsc::channel;

use zmq_auth::Authenticator;

use crate::harness::process::isolated;
use crate::harness::sockets::socket;
use crate::harness::{DEADLINE, domain, log, zap};
use crate::raw_frames::{self, Shared};

/// A client of the handler that sends the password frame in any way that the test wants.
struct Asker {
    socket: zmq::Socket,
    domain: String,
    _running: zmq_auth::ThreadAuthenticator,
    _context: zmq::Context,
}

impl Asker {
    fn new(password: &str) -> Self {
        log::secret(password);
        let (domain, context, auth) = (domain("frames"), zmq::Context::new(), Authenticator::new());
        auth.configure_plain(&domain, [("alice", password)]).unwrap();
        let running = auth.start(&context).unwrap();
        let socket = socket(&context, zmq::DEALER);
        socket.connect(zap::ENDPOINT).unwrap();
        Asker { socket, domain, _running: running, _context: context }
    }

    /// Sends everything but the password, then the password; returns the status.
    fn ask<T>(&mut self, send: impl FnOnce(&mut zmq::Socket) -> T) -> (u16, T) {
        let mut frames = vec![Vec::new()];
        frames.extend(zap::request(&self.domain, "127.0.0.1", "PLAIN", &[b"alice"]));
        for frame in frames {
            self.socket.send(frame, zmq::SNDMORE).unwrap();
        }
        let sent = send(&mut self.socket);
        let reply = self.socket.recv_multipart(0).expect("an answer within the deadline");
        (zap::status_of(&reply[1..]), sent)
    }
}

/// Too long for libzmq to store it in the message itself.
const PASSWORD: &str = "zanzibar in memory that nobody may write to, as a literal is";

#[test]
fn a_password_in_constant_memory_is_left_alone() {
    isolated(|| {
        let mut asker = Asker::new(PASSWORD);
        for _ in 0..3 {
            assert_eq!(asker.ask(|socket| raw_frames::send_constant(socket, PASSWORD.as_bytes())).0, 200);
        }
    });
}

#[test]
fn a_password_that_its_sender_still_holds_is_left_alone() {
    let mut asker = Asker::new(PASSWORD);
    let (status, mut kept) = asker.ask(|socket| Shared::send(socket, PASSWORD.as_bytes()));
    assert_eq!(status, 200);
    // The handler has finished the first request when it replies to the second.
    assert_eq!(asker.ask(|socket| socket.send("zanzibar wrong", 0).unwrap()).0, 400);
    assert_eq!(kept.bytes(), PASSWORD.as_bytes());
}

#[test]
fn a_password_that_is_the_handlers_alone_is_wiped() {
    let mut asker = Asker::new(PASSWORD);
    let (back, returned) = channel();
    let (status, ()) = asker.ask(|socket| raw_frames::send_lent(socket, PASSWORD.as_bytes().to_vec(), back));
    assert_eq!(status, 200);
    // The handler releases the frame when it receives the next request into its place.
    assert_eq!(asker.ask(|socket| socket.send("zanzibar wrong", 0).unwrap()).0, 400);
    assert_eq!(returned.recv_timeout(DEADLINE).unwrap(), [0; PASSWORD.len()]);
}
