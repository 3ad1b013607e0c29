//! What reaches the service and the clients, compared with a naive model of what the policy allows.

use std::collections::BTreeSet;
use std::time::Instant;

use zmq_auth::{Handshake, MonitoredSocket, zmq};

use super::publish::gate_with_rights;
use super::{DEADLINE, Gate, Place, frames, json};

/// Reproducible random numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        // Knuth's MMIX generator, of which the upper bits are good enough.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Users connect, ask, are revoked and are accepted again. Nothing arrives that the policy doesn't allow, each message
/// names the user that sent it, and each reply reaches the client that asked.
#[test]
fn nothing_reaches_the_service_that_the_policy_does_not_allow() {
    const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let (place, context) = (Place::new(), zmq::Context::new());
    USERS[2..].iter().for_each(|user| place.certificate(user, None));
    let service = place.service(&context, zmq::DEALER);
    let gate = place.gate("reply", &["--sender-frame"]);
    let mut accepted: BTreeSet<&str> = ["alice", "bob"].into();
    let mut clients: Vec<(&str, MonitoredSocket)> = Vec::new();
    // Clients that the gate has disconnected, and that go on sending.
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
                gate.process.all_events(theirs.iter().map(|_| ("ClientDisconnected", user)));
                place.until_decided(&context, zmq::DEALER, user, &gate, Handshake::Denied(400));
                for (_, client) in &mut theirs {
                    assert_eq!(client.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
                }
                disconnected += theirs.len();
                revoked.extend(theirs.into_iter().map(|(_, client)| client));
                clients = others;
            }
            1 if !accepted.contains(user) => {
                place.accept(user);
                place.until_decided(&context, zmq::DEALER, user, &gate, Handshake::Authenticated);
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
                        // libzmq may or may not take it.
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
        // Every client asks; the replies are sent in another order.
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

/// Users of a gate, which connect, are revoked and are accepted again. Messages are up to the test.
struct Users<'p> {
    place: &'p Place,
    gate: &'p Gate,
    context: &'p zmq::Context,
    socket_type: zmq::SocketType,
    numbers: Numbers,
    accepted: BTreeSet<&'static str>,
    connected: Vec<(&'static str, MonitoredSocket)>,
    /// Clients that the gate has disconnected, and that go on sending.
    revoked: Vec<MonitoredSocket>,
    disconnected: usize,
}

impl<'p> Users<'p> {
    const NAMES: [&'static str; 4] = ["alice", "bob", "carol", "dave"];

    fn new(place: &'p Place, gate: &'p Gate, context: &'p zmq::Context, socket_type: zmq::SocketType) -> Self {
        Users {
            place,
            gate,
            context,
            socket_type,
            numbers: Numbers(2027),
            accepted: ["alice", "bob"].into(),
            connected: Vec::new(),
            revoked: Vec::new(),
            disconnected: 0,
        }
    }

    fn until_decided(&self, user: &str, expected: Handshake) {
        self.place.until_decided(self.context, self.socket_type, user, self.gate, expected);
    }

    /// Lets one of them do something. A client that connects sends `first`, so that the gate registers it.
    fn step(&mut self, first: impl FnOnce(&str, &MonitoredSocket)) {
        let user = Self::NAMES[self.numbers.below(4) as usize];
        match self.numbers.below(5) {
            0 if self.accepted.remove(user) => {
                self.place.revoke(user);
                let connected = std::mem::take(&mut self.connected);
                let (theirs, others) = connected.into_iter().partition::<Vec<_>, _>(|(name, _)| *name == user);
                self.gate.process.all_events(theirs.iter().map(|_| ("ClientDisconnected", user)));
                self.until_decided(user, Handshake::Denied(400));
                self.disconnected += theirs.len();
                for (_, mut client) in theirs {
                    assert_eq!(client.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
                    self.revoked.push(client);
                }
                self.connected = others;
            }
            1 if self.accepted.insert(user) => {
                self.place.accept(user);
                self.until_decided(user, Handshake::Authenticated);
            }
            2 | 3 if self.connected.len() < 8 => {
                let mut client = self.place.monitored(self.context, self.socket_type, user, self.gate);
                let outcome = client.wait_for_handshake(DEADLINE).unwrap();
                let is_accepted = self.accepted.contains(user);
                let expected = if is_accepted { Handshake::Authenticated } else { Handshake::Denied(400) };
                assert_eq!(outcome, Some(expected), "{user}");
                if is_accepted {
                    first(user, &client);
                    self.connected.push((user, client));
                }
            }
            _ => {}
        }
    }
}

#[test]
fn what_a_service_collects_is_what_accepted_clients_have_sent() {
    let (place, context) = (Place::new(), zmq::Context::new());
    Users::NAMES[2..].iter().for_each(|user| place.certificate(user, None));
    let service = place.service(&context, zmq::PULL);
    let gate = place.gate("collect", &["--sender-frame"]);
    let mut users = Users::new(&place, &gate, &context, zmq::PUSH);
    let mut passed = 0;
    for step in 0..200 {
        let mut expected = BTreeSet::new();
        users.step(|user, client| {
            client.send(&format!("{user} comes"), 0).unwrap();
            expected.insert((user.to_owned(), format!("{user} comes")));
        });
        for client in &users.revoked {
            let _ = client.send("too late", zmq::DONTWAIT);
        }
        for (number, (user, client)) in users.connected.iter().enumerate() {
            let text = format!("{user} {number} {step}");
            client.send(&text, 0).unwrap();
            expected.insert((user.to_string(), text));
        }
        passed += expected.len();
        while !expected.is_empty() {
            let received = frames(&service);
            let sender = json(&received[0])["user_id"].as_str().unwrap().to_owned();
            assert!(expected.remove(&(sender, received[1].clone())), "{received:?} in step {step}");
        }
    }
    assert_eq!(service.poll(zmq::POLLIN, 0).unwrap(), 0);
    println!("{passed} messages passed, {} clients disconnected", users.disconnected);
    assert!(passed > 200 && users.disconnected > 5);
}

/// XSUB clients, since a SUB socket would filter what it receives.
#[test]
fn subscribers_get_what_the_policy_and_their_rights_allow_and_nothing_else() {
    const TOPICS: [&str; 4] = ["a", "ab", "b", "c"];
    let may = |user: &str, topic: &str| match user {
        "alice" => topic.starts_with('a') || topic.starts_with('c'),
        "bob" => topic.starts_with("ab") || topic.starts_with('c'),
        _ => topic.starts_with('c'),
    };
    let (place, context) = (Place::new(), zmq::Context::new());
    Users::NAMES[2..].iter().for_each(|user| place.certificate(user, None));
    let service = place.service(&context, zmq::XPUB);
    let rights = "[[gate.allow]]\nuser = \"alice\"\ntopics = [\"a\"]\n[[gate.allow]]\nuser = \"bob\"\ntopics =                   [\"ab\"]\n[[gate.allow]]\ntopics = [\"c\"]\n";
    let gate = gate_with_rights(&place, rights);
    let mut users = Users::new(&place, &gate, &context, zmq::XSUB);
    let (mut choices, mut got) = (Numbers(7), 0);
    for step in 0..200 {
        // Each subscribes to topics at random, allowed or not.
        users.step(|_, client| client.send("\u{1}c", 0).unwrap());
        for (_, client) in &users.connected {
            let topic = TOPICS[choices.below(4) as usize];
            if choices.below(2) == 0 {
                client.send(&format!("\u{1}{topic}"), 0).unwrap();
            }
        }
        for (number, (_, client)) in users.connected.iter().enumerate() {
            // When a message of this topic arrives, all earlier subscriptions apply.
            client.send(&format!("\u{1}c{step}.{number}"), 0).unwrap();
        }
        let end = Instant::now() + DEADLINE;
        for (number, (user, client)) in users.connected.iter().enumerate() {
            let mark = format!("c{step}.{number}");
            let mut has_come = false;
            while !has_come {
                assert!(Instant::now() < end, "{user} in step {step}");
                service.send(&mark, 0).unwrap();
                while client.poll(zmq::POLLIN, 10).unwrap() > 0 {
                    let text = client.recv_string(0).unwrap().unwrap();
                    has_come |= text == mark;
                    assert!(may(user, &text), "{user} got {text} in step {step}");
                    got += 1;
                }
            }
        }
        TOPICS.iter().for_each(|topic| service.send(topic, 0).unwrap());
        while service.recv_bytes(zmq::DONTWAIT).is_ok() {}
        for client in &users.revoked {
            while let Ok(text) = client.recv_string(zmq::DONTWAIT) {
                // It may only receive what was sent to it before its revocation.
                assert!(!text.unwrap().starts_with(&format!("c{step}.")), "in step {step}");
            }
        }
    }
    println!("{got} messages arrived, {} clients disconnected", users.disconnected);
    assert!(got > 200 && users.disconnected > 5);
}
