//! Both ends of ZAP by hand: requests as libzmq makes them, and a handler that replies whatever the test wants.

use zmq_auth::{Authenticator, PublicKey};

use super::{log, sockets};

/// Where libzmq asks.
pub const ENDPOINT: &str = "inproc://zeromq.zap.01";

/// A request from the version frame on, as libzmq writes it.
pub fn request(domain: &str, address: &str, mechanism: &str, credentials: &[&[u8]]) -> Vec<Vec<u8>> {
    log::install();
    let mut frames: Vec<Vec<u8>> =
        ["1.0", "1", domain, address, "", mechanism].iter().map(|frame| frame.as_bytes().to_vec()).collect();
    frames.extend(credentials.iter().map(|frame| frame.to_vec()));
    frames
}

/// What an authenticator answers, as a number.
pub fn status<B: AsRef<[u8]>>(authenticator: &Authenticator, frames: &[B]) -> u16 {
    log::install();
    status_of(&authenticator.handle_zap_message(frames).expect("two frames can be answered"))
}

/// The status of a reply, from the version frame on.
pub fn status_of(reply: &[Vec<u8>]) -> u16 {
    assert_eq!((reply.len(), &reply[0][..]), (6, &b"1.0"[..]));
    std::str::from_utf8(&reply[2]).unwrap().parse().unwrap()
}

/// A NULL client at this address.
pub fn null(authenticator: &Authenticator, domain: &str, address: &str) -> u16 {
    status(authenticator, &request(domain, address, "NULL", &[]))
}

/// A PLAIN client on this machine.
pub fn plain(authenticator: &Authenticator, domain: &str, username: &[u8], password: &[u8]) -> u16 {
    status(authenticator, &request(domain, "127.0.0.1", "PLAIN", &[username, password]))
}

/// A CURVE client on this machine.
pub fn curve(authenticator: &Authenticator, domain: &str, key: &PublicKey) -> u16 {
    status(authenticator, &request(domain, "127.0.0.1", "CURVE", &[key.as_bytes()]))
}

/// A PLAIN request whose user name is also its request id, by which the test recognises the reply.
pub fn question(domain: &str, user: &str) -> Vec<Vec<u8>> {
    let password = log::password("of anybody");
    let mut request = request(domain, "127.0.0.1", "PLAIN", &[user.as_bytes(), password.as_bytes()]);
    request[1] = user.as_bytes().to_vec();
    request
}

/// The next reply: its request id and its status.
#[track_caller]
pub fn answer(asker: &Asker) -> (String, u16) {
    let reply = asker.reply();
    (String::from_utf8(reply[1].clone()).unwrap(), status_of(&reply))
}

/// Asks a [`question`] and returns the status of the answer to it.
#[track_caller]
pub fn ask(asker: &Asker, domain: &str, user: &str) -> u16 {
    asker.ask(&question(domain, user));
    let (id, status) = answer(asker);
    assert_eq!(id, user, "the answer to another request");
    status
}

/// A handler that the test plays.
pub struct Handler {
    socket: zmq::Socket,
}

/// A request from libzmq: envelope, delimiter and the frames of the request.
pub struct Question {
    pub frames: Vec<Vec<u8>>,
}

impl Handler {
    pub fn bind(context: &zmq::Context) -> Self {
        let socket = sockets::socket(context, zmq::ROUTER);
        socket.bind(ENDPOINT).unwrap();
        Handler { socket }
    }

    /// The next request.
    #[track_caller]
    pub fn receive(&self) -> Question {
        Question { frames: self.socket.recv_multipart(0).expect("libzmq asks within the deadline") }
    }

    /// The next request with these credentials from this address; others are ignored.
    #[track_caller]
    pub fn receive_from(&self, address: &str) -> Question {
        loop {
            let question = self.receive();
            if question.address() == address {
                return question;
            }
        }
    }

    /// Sends frames unchanged, after the envelope.
    pub fn send(&self, question: &Question, frames: &[&[u8]]) {
        let envelope = std::iter::once(&question.frames[0][..]);
        self.socket.send_multipart(envelope.chain(frames.iter().copied()), 0).unwrap();
    }

    /// Sends a valid reply.
    pub fn reply(&self, question: &Question, code: &str) {
        let user: &[u8] = if code == "200" { b"somebody" } else { b"" };
        self.send(question, &[b"", b"1.0", question.request_id(), code.as_bytes(), b"text", user, b""]);
    }

    /// Asserts that there is no request.
    pub fn is_idle(&self) -> bool {
        self.socket.poll(zmq::POLLIN, 0).unwrap() == 0
    }

    /// Frees the name at once, then closes the socket.
    pub fn unbind(self) {
        self.socket.unbind(ENDPOINT).unwrap();
    }
}

impl Question {
    fn frame(&self, n: usize) -> &[u8] {
        &self.frames[n]
    }

    pub fn request_id(&self) -> &[u8] {
        self.frame(3)
    }

    pub fn address(&self) -> &str {
        std::str::from_utf8(self.frame(5)).unwrap()
    }
}

/// A client that talks to the handler directly, and sends what it likes.
pub struct Asker {
    socket: zmq::Socket,
}

impl Asker {
    pub fn connect(context: &zmq::Context) -> Self {
        let socket = sockets::socket(context, zmq::DEALER);
        socket.connect(ENDPOINT).unwrap();
        Asker { socket }
    }

    /// Sends frames unchanged: the first must be the delimiter.
    pub fn send<B: AsRef<[u8]>>(&self, frames: &[B]) {
        self.socket.send_multipart(frames.iter().map(|frame| frame.as_ref().to_vec()), 0).unwrap();
    }

    /// Sends a request, after the delimiter.
    pub fn ask(&self, request: &[Vec<u8>]) {
        let mut frames = vec![Vec::new()];
        frames.extend_from_slice(request);
        self.send(&frames);
    }

    /// The next reply, from the version frame on.
    #[track_caller]
    pub fn reply(&self) -> Vec<Vec<u8>> {
        let mut frames = self.socket.recv_multipart(0).expect("a reply within the deadline");
        assert!(frames.remove(0).is_empty(), "the delimiter comes first");
        frames
    }

    /// Asserts that there is no reply.
    #[track_caller]
    pub fn assert_no_reply(&self) {
        assert_eq!(self.socket.poll(zmq::POLLIN, 0).unwrap(), 0, "there is a reply");
    }
}
