//! Without a free descriptor, known clients can still be disconnected, and no message is lost.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use zmq_auth::{Certificate, Handshake, zmq};

use super::load::descriptors;
use super::{DEADLINE, Gate, Place, frames};
use crate::run::program;

const LIMIT: usize = 100;

/// Adds silent connections until the gate has no descriptor left. (libzmq closes each after 30 s.)
fn exhaust(gate: &Gate, silent: &mut Vec<TcpStream>) {
    let address = gate.front.trim_start_matches("tcp://");
    let end = Instant::now() + DEADLINE;
    while descriptors(gate.process.child.id()) < LIMIT {
        assert!(Instant::now() < end);
        silent.push(TcpStream::connect(address).unwrap());
    }
}

#[test]
fn a_silent_subscriber_is_disconnected_and_a_first_subscription_is_passed_on() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::XPUB);
    let back = place.ipc("app.sock");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {LIMIT}; exec \"$0\" \"$@\"")]).arg(program());
    command.args(["--json", "gate", "policy.toml", "--front", "tcp://127.0.0.1:*", "--back", &back]);
    command.args(["--kind", "publish", "--domain", "lab", "--key", "server.key_secret"]);
    let gate = Gate::started(command, place.directory.path());
    gate.process.event("ServiceConnected");
    let mut alice = place.monitored(&context, zmq::SUB, "alice", &gate);
    assert_eq!(alice.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));

    // An expiry needs only the clock: no file must be opened for it.
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(20);
    let certificate = Certificate::generate().unwrap().with_metadata("not-after", expires.to_string()).unwrap();
    certificate.save_full_pair(&place.directory, "carol").unwrap();
    place.accept("carol");
    place.until_decided(&context, zmq::SUB, "carol", &gate, Handshake::Authenticated);
    let carol = place.client(&context, zmq::SUB, "carol");
    carol.set_subscribe(b"hers").unwrap();
    carol.connect(&gate.front).unwrap();
    assert_eq!(frames(&service), ["\u{1}hers"]);

    let mut silent = Vec::new();
    exhaust(&gate, &mut silent);
    assert!(jiff::Timestamp::now() < expires, "too late to show anything");
    alice.set_subscribe(b"late").unwrap();
    assert_eq!(frames(&service), ["\u{1}late"]);
    let end = Instant::now() + DEADLINE;
    let line = loop {
        exhaust(&gate, &mut silent);
        match gate.process.lines.recv_timeout(Duration::from_millis(10)) {
            Ok(line) if line["event"] == "ClientDisconnected" => break line,
            _ => assert!(Instant::now() < end, "she is still connected"),
        }
    };
    assert_eq!(line["user_id"], "carol");
    assert!(jiff::Timestamp::now() >= expires);
    assert_eq!(frames(&service), ["\u{0}hers"]);
}
