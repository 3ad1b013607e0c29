//! Slow clients: one byte at a time, for as long as the server allows.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::guarded::GuardedServer;
use crate::harness::DEADLINE;
use crate::harness::fixture::MECHANISMS;
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::recorded::{self, GREETING};

behaviours! {
    a_client_that_never_finishes_is_hung_up_on_and_others_are_served_meanwhile,
}

const CONNECTIONS: usize = 64;
const HANDSHAKE_MS: i32 = 1_500;
const PACE: Duration = Duration::from_millis(40);

fn a_client_that_never_finishes_is_hung_up_on_and_others_are_served_meanwhile(front_end: FrontEnd) {
    for mechanism in MECHANISMS {
        let mut guarded = GuardedServer::new(front_end, mechanism, HANDSHAKE_MS);
        let mut says = recorded::handshake(&mut guarded)[..GREETING].to_vec();
        // A long command that never ends.
        says.extend_from_slice(&[6, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 5]);
        says.extend_from_slice(b"HELLO");
        says.resize(0xffff, 0);
        let mut streams: Vec<Option<TcpStream>> = (0..CONNECTIONS).map(|_| Some(guarded.connect())).collect();
        guarded.fixture.client(&guarded.context, guarded.server.endpoint()).round_trip(&guarded.server);
        let end = Instant::now() + DEADLINE;
        let mut said = 0;
        while streams.iter().any(Option::is_some) {
            assert!(Instant::now() < end, "{mechanism:?}: not hung up on");
            let byte = &says[said..=said];
            said += 1;
            for stream in &mut streams {
                if stream.as_mut().is_some_and(|stream| is_hung_up_on(stream, byte)) {
                    *stream = None;
                }
            }
            std::thread::park_timeout(PACE);
        }
        println!("{mechanism:?}: hung up on after {said} bytes");
        // The one above.
        guarded.assert_accepted(1);
        guarded.assert_only_the_good_client_is_accepted();
    }
}

/// Sends one byte, and reads whatever has arrived.
fn is_hung_up_on(stream: &mut TcpStream, byte: &[u8]) -> bool {
    if stream.write_all(byte).is_err() {
        return true;
    }
    stream.set_nonblocking(true).unwrap();
    let read = stream.read(&mut [0; 256]);
    stream.set_nonblocking(false).unwrap();
    match read {
        Ok(n) => n == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
