//! What reaches the service and the clients, held against a second, naive account of what the policy allows.

use std::collections::BTreeSet;

use zmq_auth::{Handshake, MonitoredSocket, zmq};

use super::{DEADLINE, Place, frames, json};

/// The same numbers in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX generator; its upper bits are good enough.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Users come, ask, are revoked and are accepted again: nothing arrives that the policy doesn't allow, each message with the
/// user that sent it, each reply at the client that asked.
#[test]
fn nothing_reaches_the_service_that_the_policy_does_not_allow() {
    const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let (place, context) = (Place::new(), zmq::Context::new());
    USERS[2..].iter().for_each(|user| place.certificate(user, None));
    let service = place.service(&context, zmq::DEALER);
    let gate = place.gate("reply", &["--sender-frame"]);
    let mut accepted: BTreeSet<&str> = ["alice", "bob"].into();
    let mut clients: Vec<(&str, MonitoredSocket)> = Vec::new();
    // They are gone as far as the policy is concerned, and go on sending.
    let mut revoked: Vec<MonitoredSocket> = Vec::new();
    let mut numbers = Numbers(2026);
    let (mut passed, mut refused, mut disconnected) = (0, 0, 0);
    for step in 0..300 {
        let user = USERS[numbers.below(6) as usize];
        match numbers.below(6) {
            0 if accepted.contains(user) => {
                place.revoke(user);
                accepted.remove(user);
                let (mut theirs, others) = clients.into_iter().partition::<Vec<_>, _>(|(name, _)| *name == user);
                gate.process.all_events(theirs.iter().map(|_| ("ClientDisconnected", user)), true);
                for (_, client) in &mut theirs {
                    assert_eq!(client.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
                }
                disconnected += theirs.len();
                revoked.extend(theirs.into_iter().map(|(_, client)| client));
                clients = others;
            }
            1 if !accepted.contains(user) => {
                place.accept(user);
                gate.process.all_events([].into_iter(), true);
                accepted.insert(user);
            }
            2 | 3 => {
                let mut client = place.monitored(&context, zmq::DEALER, user, &gate);
                let outcome = client.wait_for_handshake(DEADLINE).unwrap();
                let expected = if accepted.contains(user) { Handshake::Authenticated } else { Handshake::Denied(400) };
                assert_eq!(outcome, Some(expected), "{user} in step {step}");
                match accepted.contains(user) {
                    true => clients.push((user, client)),
                    false => {
                        // libzmq may take it or not.
                        let _ = client.send_multipart(["", "never"], zmq::DONTWAIT);
                        refused += 1;
                    }
                }
            }
            _ => {}
        }
        for client in &revoked {
            let _ = client.send_multipart(["", "too late"], zmq::DONTWAIT);
        }
        // Each client asks; the replies come in another order.
        let mut expected = BTreeSet::new();
        for (number, (user, client)) in clients.iter().enumerate() {
            let text = format!("{user} {number} {step}");
            client.send_multipart(["", &text], 0).unwrap();
            expected.insert((user.to_string(), text));
        }
        let mut requests: Vec<_> = clients.iter().map(|_| service.recv_multipart(0).unwrap()).collect();
        for request in &requests {
            let text = |frame: usize| String::from_utf8(request[frame].clone()).unwrap();
            let sender = json(&text(2))["user_id"].as_str().unwrap().to_owned();
            assert!(expected.remove(&(sender.clone(), text(3))), "{sender}: {} in step {step}", text(3));
        }
        passed += requests.len();
        while !requests.is_empty() {
            let request = requests.swap_remove(numbers.below(requests.len() as u64) as usize);
            service.send_multipart([&request[0], &request[1], &request[3]], 0).unwrap();
        }
        for (number, (user, client)) in clients.iter().enumerate() {
            assert_eq!(frames(client), ["", &format!("{user} {number} {step}")]);
        }
        if clients.len() > 12 {
            clients.remove(numbers.below(12) as usize);
        }
    }
    assert_eq!(service.poll(zmq::POLLIN, 0).unwrap(), 0);
    println!("{passed} requests passed, {refused} clients refused, {disconnected} disconnected");
    assert!(passed > 300 && refused > 20 && disconnected > 5);
    gate.stop();
}
