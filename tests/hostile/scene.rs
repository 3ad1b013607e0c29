//! A guarded door, those who knock at it with bytes, and how to tell that none of them came in.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use zmq_auth::{Authenticator, Handshake};

use crate::harness::DEADLINE;
use crate::harness::doors::{Door, Mechanism};
use crate::harness::faces::{Face, Running};
use crate::harness::sockets::Server;

pub(crate) struct Scene {
    pub(crate) context: zmq::Context,
    pub(crate) door: Door,
    pub(crate) auth: Authenticator,
    pub(crate) server: Server,
    _running: Running,
}

impl Scene {
    pub(crate) fn new(face: Face, mechanism: Mechanism, handshake_ms: i32) -> Self {
        let (context, door, auth) = (zmq::Context::new(), Door::new(mechanism), Authenticator::new());
        door.configure(&auth);
        let running = face.start(&auth, &context);
        let server = door.server(&context, handshake_ms);
        Scene { context, door, auth, server, _running: running }
    }

    pub(crate) fn knock(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.server.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Each of these says its bytes and stays, so that the server has all the time it needs to let it in; none of them gets
    /// in, and the rightful client does, behind every few. Nobody but that one is asked about, where `unasked`.
    #[track_caller]
    pub(crate) fn assert_none_enters(&mut self, crowd: &[Vec<u8>], unasked: bool) {
        // Each has a descriptor at both ends, in this process.
        const AT_ONCE: usize = 48;
        let before = self.auth.counters();
        for some in crowd.chunks(AT_ONCE) {
            let say = |bytes: &Vec<u8>| {
                let mut stream = self.knock();
                // The server may hang up before all is written.
                let _ = stream.write_all(bytes);
                stream
            };
            let _streams: Vec<_> = some.iter().map(say).collect();
            // It is served by the I/O thread that has what the others said before it.
            self.door.client(&self.context, self.server.endpoint()).round_trip(&self.server);
            self.assert_entered(1);
        }
        let after = self.auth.counters();
        if unasked {
            let good = crowd.len().div_ceil(AT_ONCE) as u64;
            assert_eq!(
                (after.allowed - before.allowed, after.denied),
                (good, before.denied),
                "somebody was asked about"
            );
        }
    }

    /// Sends bytes, stays, and waits until the server hangs up or answers with an ERROR command, behind which it waits for
    /// the end of its time.
    #[track_caller]
    pub(crate) fn say_and_be_refused(&self, bytes: &[u8]) {
        // The name's end and the status: libzmq's PLAIN server, to 4.3.5, misspells the beginning.
        const ERROR: &[u8] = b"RROR\x03400";
        let mut stream = self.knock();
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

    /// No handshake but these so far came to a good end, and none of the others sent anything.
    #[track_caller]
    pub(crate) fn assert_entered(&mut self, times: usize) {
        self.server.assert_nothing_received();
        let mut entered = 0;
        while let Some(handshake) = self.server.wait_for_handshake(Duration::ZERO).unwrap() {
            entered += usize::from(handshake == Handshake::Authenticated);
        }
        assert_eq!(entered, times, "handshakes that came to a good end");
    }

    /// The rightful client gets in, and is the only one since this was last asked.
    #[track_caller]
    pub(crate) fn assert_only_the_good_one_enters(&mut self) {
        self.assert_entered(0);
        self.door.client(&self.context, self.server.endpoint()).round_trip(&self.server);
        self.assert_entered(1);
    }
}

fn is_hang_up(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
