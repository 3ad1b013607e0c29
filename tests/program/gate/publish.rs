//! `--kind publish`: subscribers, their rights on topics, and their end.

use std::fs;
use std::time::{Duration, Instant};

use zmq_auth::{Handshake, MonitoredSocket, zmq};

use super::{DEADLINE, Gate, Place, frames};

/// A gate whose users have rights on topics.
fn gate_with_rights(place: &Place, rights: &str) -> Gate {
    let back = place.ipc("app.sock");
    let policy = fs::read_to_string(place.path("policy.toml")).unwrap();
    let table = format!(
        "\n[[gate]]\nname = \"prices\"\nfront = \"tcp://127.0.0.1:*\"\nback = \"{back}\"\nkind = \"publish\"\ndomain = \
         \"lab\"\nkey = \"server.key_secret\"\n{rights}"
    );
    fs::write(place.path("policy.toml"), policy + &table).unwrap();
    place.gate_with(&[])
}

fn subscriber(place: &Place, context: &zmq::Context, name: &str, gate: &Gate, topics: &[&str]) -> MonitoredSocket {
    let socket = place.client(context, zmq::SUB, name);
    topics.iter().for_each(|topic| socket.set_subscribe(topic.as_bytes()).unwrap());
    let mut socket = MonitoredSocket::new(context, socket).unwrap();
    socket.connect(&gate.front).unwrap();
    assert_eq!(socket.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));
    socket
}

#[test]
fn subscribers_get_what_they_have_a_right_to_from_a_publisher_without_security() {
    let (place, context) = (Place::new(), zmq::Context::new());
    // An XPUB service sees which subscriptions are passed on.
    let service = place.service(&context, zmq::XPUB);
    let rights = "[[gate.allow]]\nuser = \"alice\"\ntopics = [\"prices.\"]\n[[gate.allow]]\ntopics = [\"news\"]\n";
    let gate = gate_with_rights(&place, rights);
    // An empty topic and a beginning of an allowed one are no rights.
    let alice = subscriber(&place, &context, "alice", &gate, &["", "price", "prices.apples"]);
    assert_eq!(frames(&service), ["\u{1}prices.apples"]);
    let bob = subscriber(&place, &context, "bob", &gate, &["prices.", "", "newspaper"]);
    assert_eq!(frames(&service), ["\u{1}newspaper"]);
    gate.until("all refusals are counted", |gate| gate.dropped("topic") == 4);
    let told = gate.process.event("TopicRefused");
    assert!(told["reason"].as_str().unwrap().starts_with("it has no right to the topic "), "{told}");

    for text in ["prices.apples 3", "prices.pears 4", "price", "newspaper today", "other", "prices.apples 5"] {
        service.send(text, 0).unwrap();
    }
    assert_eq!(frames(&alice), ["prices.apples 3"]);
    assert_eq!(frames(&alice), ["prices.apples 5"]);
    assert_eq!(frames(&bob), ["newspaper today"]);
    // A second subscriber of a topic, and one that takes its subscription back.
    alice.set_subscribe(b"newspaper").unwrap();
    bob.set_unsubscribe(b"newspaper").unwrap();
    bob.set_subscribe(b"news!").unwrap();
    // The first subscription of each topic alone is passed on.
    assert_eq!(frames(&service), ["\u{1}news!"]);
    service.send("news! last", 0).unwrap();
    service.send("newspaper tomorrow", 0).unwrap();
    assert_eq!(frames(&alice), ["newspaper tomorrow"]);
    assert_eq!(frames(&bob), ["news! last"]);
    drop(bob);
    assert_eq!(frames(&service), ["\u{0}news!"], "the last one has left");
}

#[test]
fn a_silent_subscriber_that_is_revoked_is_disconnected_alone() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let mut service = place.python(&["service", "PUB", &place.ipc("app.sock")]);
    service.line();
    let gate = place.gate("publish", &[]);
    let mut alice = subscriber(&place, &context, "alice", &gate, &[""]);
    let bob = place.python(&["client", "SUB", &gate.front, "bob", "news"]);
    assert_eq!(bob.line()["denied"], serde_json::Value::Null);
    gate.until("both have subscribed", |gate| gate.metric("zmq_auth_gate_clients", "") == 2);
    // Until a message comes through, the subscription may be on its way to the service.
    let mut first = 0;
    alice.set_rcvtimeo(100).unwrap();
    let arrived = loop {
        service.say(&format!("news {first}"));
        first += 1;
        if let Ok(Ok(text)) = alice.recv_string(0) {
            break text;
        }
    };
    assert!(arrived.starts_with("news "));
    let seen = bob.line()["received"][0].as_str().unwrap()[5..].parse::<u32>().unwrap();

    let revoked = place.revoke("alice");
    let mut sent = first;
    let line = loop {
        service.say(&format!("news {sent}"));
        sent += 1;
        if let Ok(line) = gate.process.lines.recv_timeout(Duration::from_millis(1))
            && line["event"] == "ClientDisconnected"
        {
            break line;
        }
    };
    let took = revoked.elapsed();
    assert!(line["user_id"] == "alice" && took < Duration::from_secs(1), "{line} {took:?}");
    assert_eq!(alice.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
    (0..100).for_each(|_| {
        service.say(&format!("news {sent}"));
        sent += 1;
    });
    for number in seen + 1..sent {
        assert_eq!(bob.line()["received"][0], format!("news {number}"), "bob has lost nothing");
    }
    while let Ok(message) = alice.recv_string(zmq::DONTWAIT) {
        let number: u32 = message.unwrap()[5..].parse().unwrap();
        assert!(number < sent - 100, "{number} came after she was disconnected");
    }
    println!("a subscriber was disconnected {took:?} after its certificate had been taken out");
}

/// libzmq grants a subscription that waits behind a message that is none to the next client that waits. While the service is
/// away, all of them wait at the gate.
#[test]
fn a_message_that_is_no_subscription_gives_nobody_anothers_topics() {
    for _ in 0..3 {
        let (place, context) = (Place::new(), zmq::Context::new());
        let rights = "[[gate.allow]]\nuser = \"alice\"\ntopics = [\"prices.\"]\n[[gate.allow]]\nuser = \"bob\"\ntopics = [\"x\"]\n";
        let gate = gate_with_rights(&place, rights);
        // Unlike a SUB socket's, what an XSUB socket receives is not filtered by itself.
        let connect = |name: &str, sends: &str| {
            let mut socket = MonitoredSocket::new(&context, place.client(&context, zmq::XSUB, name)).unwrap();
            socket.connect(&gate.front).unwrap();
            assert_eq!(socket.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));
            socket.send(sends, 0).unwrap();
            socket
        };
        let _first = connect("bob", "no subscription");
        let alice = connect("alice", "\u{1}prices.");
        let second = connect("bob", "\u{1}x");
        // A handshake later, all of them are there.
        let _ = connect("bob", "\u{0}");
        let service = place.service(&context, zmq::XPUB);
        let line = gate.process.event("ClientDisconnected");
        assert!(line["user_id"] == "bob" && line["reason"].as_str().unwrap().contains("no subscription"), "{line}");
        // Those that are back subscribe again when they look at their sockets.
        let (mut passed_on, end) = (Vec::new(), Instant::now() + DEADLINE);
        while passed_on.len() < 2 {
            assert!(Instant::now() < end, "{passed_on:?}");
            if service.poll(zmq::POLLIN, 20).unwrap() > 0 {
                passed_on.push(frames(&service).remove(0));
            }
            for client in [&alice, &second] {
                assert_eq!(client.recv_bytes(zmq::DONTWAIT), Err(zmq::Error::EAGAIN));
            }
        }
        passed_on.sort_unstable();
        assert_eq!(passed_on, ["\u{1}prices.", "\u{1}x"]);
        for text in ["prices. 1", "x 1"] {
            service.send(text, 0).unwrap();
        }
        assert_eq!(frames(&second), ["x 1"], "bob's first message");
        assert_eq!(frames(&alice), ["prices. 1"]);
    }
}
