//! A service that goes away and comes back: clients wait, then go on.

use zmq_auth::{Handshake, zmq};

use super::{Place, frames};

/// It is killed in the middle of requests and restarted: every client that asks again is served.
#[test]
fn a_service_that_is_killed_under_load_may_come_back() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let start = || {
        let service = place.python(&["service", "REP", &place.ipc("app.sock")]);
        service.line();
        service
    };
    let mut service = start();
    let gate = place.gate("reply", &[]);
    let clients: Vec<_> = (0..8)
        .map(|n| place.connected(&context, zmq::DEALER, if n % 2 == 0 { "alice" } else { "bob" }, &gate))
        .collect();
    for round in 0..5 {
        for number in 0..200 {
            for client in &clients {
                client.send_multipart(["", &format!("{round}.{number}")], 0).unwrap();
            }
        }
        // It has answered some requests, and is killed while others are pending.
        assert_eq!(frames(&clients[0])[2], format!("{round}.0"));
        service.child.kill().unwrap();
        service.child.wait().unwrap();
        gate.process.event("ServiceLost");
        service = start();
        gate.process.event("ServiceConnected");
        for client in &clients {
            client.send_multipart(["", &format!("{round}.last")], 0).unwrap();
        }
        // Replies arrive in order, with gaps for those lost with the service.
        for client in &clients {
            let last = format!("{round}.last");
            while frames(client)[2] != last {}
        }
    }
    drop(service);
    gate.process.event("ServiceLost");
}

/// Messages sent while there is no service wait for it.
#[test]
fn requests_wait_for_a_service_that_is_not_there_yet() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let gate = place.gate("reply", &[]);
    let alice = place.connected(&context, zmq::DEALER, "alice", &gate);
    (0..100).for_each(|number| alice.send_multipart(["", &number.to_string()], 0).unwrap());
    let service = place.service(&context, zmq::REP);
    for number in 0..100 {
        assert_eq!(frames(&service), [number.to_string()]);
        service.send("", 0).unwrap();
        assert_eq!(frames(&alice), ["", ""]);
    }
    gate.stop();
}

/// The policy decides about waiting messages when they are passed on.
#[test]
fn requests_that_wait_are_dropped_when_their_client_is_revoked() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let gate = place.gate("reply", &[]);
    let (alice, bob) =
        (place.connected(&context, zmq::DEALER, "alice", &gate), place.connected(&context, zmq::DEALER, "bob", &gate));
    (0..2).for_each(|_| drop(gate.process.event("Allowed")));
    for number in 0..10 {
        alice.send_multipart(["", "hers"], 0).unwrap();
        bob.send_multipart(["", &number.to_string()], 0).unwrap();
    }
    place.revoke("alice");
    place.until_decided(&context, zmq::DEALER, "alice", &gate, Handshake::Denied(400));
    let service = place.service(&context, zmq::REP);
    for number in 0..10 {
        assert_eq!(frames(&service), [number.to_string()]);
        service.send("", 0).unwrap();
        assert_eq!(frames(&bob), ["", ""]);
    }
    gate.until("hers are dropped", |gate| gate.dropped("revoked") > 0);
    assert_eq!(service.poll(zmq::POLLIN, 0).unwrap(), 0);
    // She is disconnected once, no matter how many of her messages waited.
    gate.until("all of hers are dropped", |gate| gate.dropped("revoked") >= 10);
    gate.process.signal(nix::sys::signal::Signal::SIGTERM);
    let lines = std::iter::from_fn(|| gate.process.lines.recv_timeout(super::DEADLINE).ok());
    assert_eq!(lines.filter(|line| line["event"] == "ClientDisconnected").count(), 1);
}
