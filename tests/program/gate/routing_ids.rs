//! Clients can't get another client's replies by its routing id.
//!
//! The policy assigns routing ids to CURVE clients. PLAIN clients choose theirs.

use std::time::Instant;

use zmq_auth::{Handshake, MonitoredSocket, SocketExt, zmq};

use super::{DEADLINE, DEADLINE_MS, Gate, Place, frames};

/// A gate for PLAIN clients.
fn plain_gate(place: &Place) -> Gate {
    let policy = std::fs::read_to_string(place.path("policy.toml")).unwrap();
    let shop = "\n[domain.shop]\nplain = { clear_passwords = { alice = \"hers\", bob = \"his\" } }\n";
    std::fs::write(place.path("policy.toml"), policy + shop).unwrap();
    let back = place.ipc("app.sock");
    let arguments = ["--front", "tcp://127.0.0.1:*", "--back", &back, "--kind", "reply", "--domain", "shop", "--plain"];
    place.gate_with(&arguments)
}

/// A PLAIN client with this routing id.
fn plain_client(context: &zmq::Context, gate: &Gate, name: &str, password: &str, routing_id: &str) -> MonitoredSocket {
    let mut socket = context.socket(zmq::DEALER).unwrap();
    socket.set_linger(0).unwrap();
    socket.set_rcvtimeo(DEADLINE_MS).unwrap();
    socket.plain_client(name, password).unwrap();
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
    let gate = plain_gate(&place);
    let alice = plain_client(&context, &gate, "alice", "hers", "R");
    alice.send_multipart(["", "her secret"], 0).unwrap();
    let hers = service.recv_multipart(0).unwrap();
    assert!(hers[0].len() == 16 && !hers[0].contains(&b'R'), "the service doesn't see the routing id: {hers:?}");
    drop(alice);
    gate.until("she has left", |gate| gate.metric("zmq_auth_gate_clients", "") == 0);

    // He has taken over the id, and hasn't sent anything when the reply arrives.
    let bob = plain_client(&context, &gate, "bob", "his", "R");
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
    let gate = plain_gate(&place);
    for round in 0..ROUNDS {
        let routing_id = format!("R{round}");
        let hers = {
            // Dropping her context ends her connection.
            let context = zmq::Context::new();
            let alice = plain_client(&context, &gate, "alice", "hers", &routing_id);
            alice.send_multipart(["", "her secret"], 0).unwrap();
            service.recv_multipart(0).unwrap()
        };
        let end = Instant::now() + DEADLINE;
        let (bob, his, text) = (0..)
            .find_map(|attempt| {
                assert!(Instant::now() < end, "he is never served");
                let bob = plain_client(&context, &gate, "bob", "his", &routing_id);
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

/// libzmq would ignore the second, if the policy didn't assign their ids.
#[test]
fn two_clients_that_have_chosen_one_routing_id_are_both_served() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::DEALER);
    let gate = place.gate("reply", &[]);
    let end = Instant::now() + DEADLINE;
    for attempt in 0.. {
        // If the policy's answers came too early for libzmq, both have the id that they have chosen.
        assert!(Instant::now() < end, "one of them is never served");
        let texts = ["alice", "bob"].map(|name| format!("{name} {attempt}"));
        let clients = ["alice", "bob"].map(|name| {
            let client = place.client(&context, zmq::DEALER, name);
            client.set_identity(b"R").unwrap();
            client.connect(&gate.front).unwrap();
            client
        });
        for (client, text) in clients.iter().zip(&texts) {
            client.send_multipart(["", text], 0).unwrap();
        }
        let mut requests = Vec::new();
        while requests.len() < 2 && service.poll(zmq::POLLIN, 2_000).unwrap() > 0 {
            let request = service.recv_multipart(0).unwrap();
            if texts.iter().any(|text| request[2] == text.as_bytes()) {
                requests.push(request);
            }
        }
        if requests.len() == 2 {
            requests.into_iter().rev().for_each(|request| service.send_multipart(request, 0).unwrap());
            for (client, text) in clients.iter().zip(&texts) {
                assert_eq!(frames(client), ["", text]);
            }
            return;
        }
    }
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
