//! A guarded server under attack: sends it bytes, and asserts that only the client with the right credentials is accepted.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use zmq_auth::{Authenticator, Handshake};

use crate::harness::DEADLINE;
use crate::harness::fixture::{Fixture, Mechanism};
use crate::harness::front_end::{FrontEnd, Running};
use crate::harness::sockets::Server;

pub(crate) struct GuardedServer {
    pub(crate) context: zmq::Context,
    pub(crate) fixture: Fixture,
    pub(crate) auth: Authenticator,
    pub(crate) server: Server,
    _running: Running,
}

impl GuardedServer {
    pub(crate) fn new(front_end: FrontEnd, mechanism: Mechanism, handshake_ms: i32) -> Self {
        let (context, fixture, auth) = (zmq::Context::new(), Fixture::new(mechanism), Authenticator::new());
        fixture.configure(&auth);
        let running = front_end.start(&auth, &context);
        let server = fixture.server(&context, handshake_ms);
        GuardedServer { context, fixture, auth, server, _running: running }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.server.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Each of these connections sends its bytes and stays open, so that the server has all the time it needs. None is
    /// accepted; the good client is, after every few. If `unasked`, the handler is asked only about the good client.
    #[track_caller]
    pub(crate) fn assert_none_is_accepted(&mut self, attempts: &[Vec<u8>], unasked: bool) {
        // Each has a descriptor at both ends, in this process.
        const AT_ONCE: usize = 48;
        let before = self.auth.counters();
        for some in attempts.chunks(AT_ONCE) {
            let send = |bytes: &Vec<u8>| {
                let mut stream = self.connect();
                // The server may hang up before everything is written.
                let _ = stream.write_all(bytes);
                stream
            };
            let _streams: Vec<_> = some.iter().map(send).collect();
            // By then the I/O thread that serves it has processed what the others sent earlier.
            self.fixture.client(&self.context, self.server.endpoint()).round_trip(&self.server);
            self.assert_accepted(1);
        }
        let after = self.auth.counters();
        if unasked {
            let good = attempts.len().div_ceil(AT_ONCE) as u64;
            assert_eq!(
                (after.allowed - before.allowed, after.denied),
                (good, before.denied),
                "the handler was asked about others"
            );
        }
    }

    /// Sends bytes, stays open, and waits until the server hangs up, or answers with an ERROR command, after which it waits
    /// for its handshake timeout.
    #[track_caller]
    pub(crate) fn send_and_be_refused(&self, bytes: &[u8]) {
        // The end of the name and the status: libzmq's PLAIN server, through 4.3.5, misspells the start.
        const ERROR: &[u8] = b"RROR\x03400";
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        let (mut heard, mut buffer) = (Vec::new(), [0; 256]);
        while !heard.windows(ERROR.len()).any(|window| window == ERROR) {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => heard.extend_from_slice(&buffer[..n]),
                Err(error) => {
                    assert!(is_hang_up(&error), "neither hung up on nor refused: {error}");
                    break;
                }
            }
        }
    }

    /// Asserts that exactly this many handshakes have succeeded since the last call, and that no message has arrived.
    #[track_caller]
    pub(crate) fn assert_accepted(&mut self, times: usize) {
        self.server.assert_nothing_received();
        let mut accepted = 0;
        while let Some(handshake) = self.server.wait_for_handshake(Duration::ZERO).unwrap() {
            accepted += usize::from(handshake == Handshake::Authenticated);
        }
        assert_eq!(accepted, times, "handshakes that succeeded");
    }

    /// Asserts that the good client is accepted, and that nobody else was since handshakes were last counted.
    #[track_caller]
    pub(crate) fn assert_only_the_good_client_is_accepted(&mut self) {
        self.assert_accepted(0);
        self.fixture.client(&self.context, self.server.endpoint()).round_trip(&self.server);
        self.assert_accepted(1);
    }

    /// Asserts that the handler has accepted nobody so far, and that it accepts the good client.
    #[track_caller]
    pub(crate) fn assert_the_first_accepted_is_good(&self) {
        self.server.assert_nothing_received();
        assert_eq!(self.auth.counters().allowed, 0);
        self.fixture.client(&self.context, self.server.endpoint()).round_trip(&self.server);
        assert_eq!(self.auth.counters().allowed, 1);
    }

    /// Sends bytes and reads until the server hangs up.
    #[track_caller]
    pub(crate) fn send_until_hang_up(&self, bytes: &[u8]) {
        let mut stream = self.connect();
        // The server may hang up before everything is written.
        let _ = stream.write_all(bytes);
        match stream.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert!(is_hang_up(&error), "not hung up on: {error}"),
        }
    }
}

fn is_hang_up(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
