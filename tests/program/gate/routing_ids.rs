//! Clients choose their routing ids, but can't get another client's replies by that.

use std::time::Instant;

use zmq_auth::{Handshake, MonitoredSocket, zmq};

use super::{DEADLINE, Gate, Place, frames};

/// An accepted client with this routing id.
fn client(place: &Place, context: &zmq::Context, gate: &Gate, name: &str, routing_id: &str) -> MonitoredSocket {
    let socket = place.client(context, zmq::DEALER, name);
    socket.set_identity(routing_id.as_bytes()).unwrap();
    let mut socket = MonitoredSocket::new(context, socket).unwrap();
    socket.connect(&gate.front).unwrap();
    assert_eq!(socket.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));
    socket
}

#[test]
fn a_reply_does_not_reach_a_client_that_has_taken_over_a_routing_id() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::DEALER);
    let gate = place.gate("reply", &[]);
    let routing_id = "chosen by alice";
    let alice = client(&place, &context, &gate, "alice", routing_id);
    alice.send_multipart(["", "her secret"], 0).unwrap();
    let hers = service.recv_multipart(0).unwrap();
    assert!(hers.iter().all(|frame| frame != routing_id.as_bytes()), "the service doesn't see it: {hers:?}");
    assert_eq!(hers[0].len(), 16);
    drop(alice);
    gate.until("she has left", |gate| gate.metric("zmq_auth_gate_clients", "") == 0);

    // He has taken over the id, and hasn't sent anything when the reply arrives.
    let bob = client(&place, &context, &gate, "bob", routing_id);
    service.send_multipart(hers.clone(), 0).unwrap();
    gate.until("it is dropped", |gate| gate.dropped("unknown_client") == 1);
    // The same after he has sent something.
    bob.send_multipart(["", "his"], 0).unwrap();
    let his = service.recv_multipart(0).unwrap();
    assert_ne!(his[0], hers[0]);
    service.send_multipart(hers, 0).unwrap();
    service.send_multipart(his, 0).unwrap();
    assert_eq!(frames(&bob), ["", "his"]);
}

/// The gate checks the connection at the moment of the reply, without having noticed its end before.
#[test]
fn a_reply_to_a_client_that_has_just_been_replaced_is_dropped() {
    const ROUNDS: u64 = 10;
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::DEALER);
    let gate = place.gate("reply", &[]);
    for round in 0..ROUNDS {
        let routing_id = format!("R{round}");
        let hers = {
            // Dropping her context ends her connection.
            let context = zmq::Context::new();
            let alice = client(&place, &context, &gate, "alice", &routing_id);
            alice.send_multipart(["", "her secret"], 0).unwrap();
            service.recv_multipart(0).unwrap()
        };
        let end = Instant::now() + DEADLINE;
        let (bob, his, text) = (0..)
            .find_map(|attempt| {
                assert!(Instant::now() < end, "he is never served");
                let bob = client(&place, &context, &gate, "bob", &routing_id);
                let text = format!("his {attempt}");
                bob.send_multipart(["", &text], 0).unwrap();
                // If he connected before libzmq had released her routing id, it ignores him.
                while service.poll(zmq::POLLIN, 1_000).unwrap() > 0 {
                    let request = service.recv_multipart(0).unwrap();
                    if request[2] == text.as_bytes() {
                        return Some((bob, request, text));
                    }
                }
                None
            })
            .unwrap();
        service.send_multipart(hers, 0).unwrap();
        service.send_multipart(his, 0).unwrap();
        assert_eq!(frames(&bob), ["", &text], "nothing of hers before it");
    }
    let dropped = |gate: &Gate| gate.dropped("unknown_client") + gate.dropped("gone");
    gate.until("hers are dropped", |gate| dropped(gate) == ROUNDS);
}

/// An envelope that isn't this gate's belongs to nobody.
#[test]
fn a_reply_to_nobody_is_counted() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::DEALER);
    let gate = place.gate("reply", &[]);
    let alice = place.connected(&context, zmq::DEALER, "alice", &gate);
    alice.send_multipart(["", "hello"], 0).unwrap();
    let request = service.recv_multipart(0).unwrap();
    let mut other = request.clone();
    other[0][15] ^= 1;
    service.send_multipart(other, 0).unwrap();
    let mut other = request.clone();
    other[0][0] ^= 1;
    service.send_multipart(other, 0).unwrap();
    service.send_multipart([&request[0]], 0).unwrap();
    service.send_multipart(["short", "", "x"], 0).unwrap();
    service.send_multipart(request, 0).unwrap();
    assert_eq!(frames(&alice), ["", "hello"]);
    gate.until("all are counted", |gate| gate.dropped("unknown_client") == 4);
}
