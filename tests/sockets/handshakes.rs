//! The monitor's deadlines, up to the longest possible.

use std::time::Duration;

use zmq_auth::{Authenticator, Handshake, SocketExt};

use crate::harness::sockets::{Client, Server};

#[track_caller]
fn assert_waits(waits: &[Duration]) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let _running = auth.start(&context).unwrap();
    for &wait in waits {
        let server = Server::new(&context, |socket| socket.null_server("ever"));
        let mut client = Client::null(&context, server.endpoint());
        assert_eq!(client.wait_for_handshake(wait).unwrap(), Some(Handshake::Authenticated), "{wait:?}");
    }
}

/// The longest timeout that libzmq accepts, in milliseconds.
const MOST: u64 = u64::MAX / 2;

#[test]
fn a_handshake_can_be_awaited_without_end() {
    assert_waits(&[
        Duration::MAX,
        Duration::from_secs(u64::MAX),
        Duration::from_secs(u64::MAX / 2),
        Duration::from_millis(u64::MAX),
        Duration::from_millis(MOST + 100_000),
        Duration::from_millis(MOST - 1),
    ]);
}

/// One more would be added to them, for the rest of a millisecond.
#[test]
fn a_handshake_can_be_awaited_for_the_largest_number_of_milliseconds() {
    // Less the time until it is checked, it is the maximum itself.
    assert_waits(&[1, 2, 5, 10, 20].map(|passed| Duration::from_millis(MOST + passed) - Duration::from_micros(10)));
    assert_waits(&[100, 300, 600, 900].map(|passed| Duration::from_millis(MOST) + Duration::from_micros(passed)));
}
