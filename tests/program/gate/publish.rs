//! `--kind publish`: subscribers, their rights on topics, and their end.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use zmq_auth::{Handshake, MonitoredSocket, zmq};

use super::load::resident;
use super::{DEADLINE, Gate, Place, frames};

/// A gate whose users have rights on topics.
pub(super) fn gate_with_rights(place: &Place, rights: &str) -> Gate {
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

/// A client that sends its subscriptions as messages, and loses none at a high-water mark.
fn sender(place: &Place, context: &zmq::Context, name: &str, gate: &Gate) -> zmq::Socket {
    let socket = place.client(context, zmq::XSUB, name);
    socket.set_sndhwm(0).unwrap();
    socket.connect(&gate.front).unwrap();
    socket
}

#[test]
fn subscribers_get_what_they_have_a_right_to_from_a_publisher_without_security() {
    let (place, context) = (Place::new(), zmq::Context::new());
    // An XPUB service sees which subscriptions are passed on.
    let service = place.service(&context, zmq::XPUB);
    let rights = "[[gate.allow]]\nuser = \"alice\"\ntopics = [\"prices.\"]\n[[gate.allow]]\ntopics = [\"news\"]\n";
    let gate = gate_with_rights(&place, rights);
    // The empty topic and a mere beginning of an allowed prefix aren't allowed.
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
    // A second subscriber to a topic, and one that unsubscribes.
    alice.set_subscribe(b"newspaper").unwrap();
    // Subscriptions of a client keep their order: when this one has arrived, so has the previous one.
    alice.set_subscribe(b"prices.pears").unwrap();
    assert_eq!(frames(&service), ["\u{1}prices.pears"]);
    bob.set_unsubscribe(b"newspaper").unwrap();
    bob.set_subscribe(b"news!").unwrap();
    // Only the first subscription to each topic is passed on.
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
    // Until a message arrives, the subscription may still be on its way to the service.
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

    for number in seen + 1..first {
        assert_eq!(bob.line()["received"][0], format!("news {number}"));
    }

    let revoked = place.revoke("alice");
    let mut sent = first;
    // Bob gets each message before the next is sent, so none is dropped at a high-water mark.
    let mut send = || {
        service.say(&format!("news {sent}"));
        assert_eq!(bob.line()["received"][0], format!("news {sent}"), "bob has lost nothing");
        sent += 1;
    };
    let line = loop {
        send();
        if let Ok(line) = gate.process.lines.try_recv()
            && line["event"] == "ClientDisconnected"
        {
            break line;
        }
        assert!(revoked.elapsed() < DEADLINE);
    };
    let took = revoked.elapsed();
    assert_eq!(line["user_id"], "alice", "{line}");
    assert_eq!(alice.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
    (0..100).for_each(|_| send());
    while let Ok(message) = alice.recv_string(zmq::DONTWAIT) {
        let number: u32 = message.unwrap()[5..].parse().unwrap();
        assert!(number < sent - 100, "{number} came after she was disconnected");
    }
    println!("a subscriber was disconnected {took:?} after its certificate had been taken out");
}

/// libzmq grants a subscription that is queued behind a message which isn't one to the next client in the queue.
/// Stopping the gate's process makes all of them queue.
#[test]
fn a_message_that_is_no_subscription_gives_nobody_anothers_topics() {
    for _ in 0..5 {
        let (place, context) = (Place::new(), zmq::Context::new());
        let rights = "[[gate.allow]]\nuser = \"alice\"\ntopics = [\"prices.\"]\n[[gate.allow]]\nuser = \"bob\"\ntopics = [\"x\"]\n";
        place.certificate("carol", None);
        place.accept("carol");
        let gate = gate_with_rights(&place, rights);
        let service = place.service(&context, zmq::XPUB);
        // XSUB, because a SUB socket would filter what it receives.
        let connect = |name: &str| {
            let mut socket = MonitoredSocket::new(&context, place.client(&context, zmq::XSUB, name)).unwrap();
            socket.connect(&gate.front).unwrap();
            assert_eq!(socket.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));
            socket
        };
        let (first, alice, second) = (connect("carol"), connect("alice"), connect("bob"));
        gate.process.signal(Signal::SIGSTOP);
        first.send("no subscription", 0).unwrap();
        alice.send("\u{1}prices.", 0).unwrap();
        second.send("\u{1}x", 0).unwrap();
        gate.process.signal(Signal::SIGCONT);
        let line = gate.process.event("ClientDisconnected");
        assert!(
            line["user_id"] == "carol" && line["reason"].as_str().unwrap().contains("isn't a subscription"),
            "{line}"
        );
        // She reconnects at once, and is told to wait, so that she can't repeat this.
        let line = gate.process.event("Retry");
        assert_eq!((&line["user_id"], &line["reason"]), (&serde_json::Value::Null, &"paused".into()), "{line}");
        // The other clients have reconnected. They subscribe again when they use their sockets.
        let (mut passed_on, end) = (BTreeSet::new(), Instant::now() + DEADLINE);
        while passed_on.len() < 2 {
            assert!(Instant::now() < end, "{passed_on:?}");
            if service.poll(zmq::POLLIN, 20).unwrap() > 0 {
                passed_on.insert(frames(&service).remove(0));
            }
            for client in [&alice, &second] {
                assert_eq!(client.recv_bytes(zmq::DONTWAIT), Err(zmq::Error::EAGAIN));
            }
        }
        assert_eq!(passed_on, ["\u{1}prices.".to_owned(), "\u{1}x".to_owned()].into());
        for text in ["prices. 1", "x 1"] {
            service.send(text, 0).unwrap();
        }
        assert_eq!(frames(&second), ["x 1"], "bob's first message");
        assert_eq!(frames(&alice), ["prices. 1"]);
    }
}

/// More topics than a libzmq queue holds, from a client that was there before the service.
#[test]
fn all_topics_reach_a_service_that_comes_later() {
    const TOPICS: usize = 3_000;
    let (place, context) = (Place::new(), zmq::Context::new());
    let gate = place.gate("publish", &[]);
    let topics: Vec<String> = (0..TOPICS).map(|number| format!("topic {number}")).collect();
    let client = place.client(&context, zmq::SUB, "alice");
    client.set_sndhwm(0).unwrap();
    topics.iter().for_each(|topic| client.set_subscribe(topic.as_bytes()).unwrap());
    client.connect(&gate.front).unwrap();
    gate.until("all are known", |gate| gate.metric("zmq_auth_gate_messages_total", "to=\"service\"") == TOPICS as u64);
    let service = place.service(&context, zmq::XPUB);
    let subscribed: BTreeSet<String> = (0..TOPICS).map(|_| frames(&service).remove(0)).collect();
    assert_eq!(subscribed, topics.iter().map(|topic| format!("\u{1}{topic}")).collect());
    service.send("topic 2999", 0).unwrap();
    assert_eq!(frames(&client), ["topic 2999"]);
}

/// While the service is away, subscriptions that come and go leave nothing behind.
#[test]
fn subscriptions_that_come_and_go_without_a_service_cost_no_memory() {
    const CHANGES: u64 = 4_000;
    let (place, context) = (Place::new(), zmq::Context::new());
    let gate = place.gate("publish", &[]);
    let topic = "x".repeat(400);
    let seen = |gate: &Gate| gate.metric("zmq_auth_gate_messages_total", "to=\"service\"");
    let mut before = 0;
    for round in 1..=9 {
        // A new client each time, since one may not change its subscriptions that often.
        let client = sender(&place, &context, if round % 2 == 0 { "alice" } else { "bob" }, &gate);
        for _ in 0..CHANGES / 2 {
            client.send(&format!("\u{1}{topic}"), 0).unwrap();
            client.send(&format!("\u{0}{topic}"), 0).unwrap();
        }
        // Not faster than the gate: libzmq queues received subscriptions without a bound.
        gate.until("all were seen", |gate| seen(gate) == round * CHANGES / 2);
        if round == 2 {
            before = resident(gate.process.child.id());
        }
    }
    let after = resident(gate.process.child.id());
    assert!(after < before + 6 * 1024, "{before} KiB, {after} KiB: what was sent since is 11 MB");
}

#[test]
fn a_client_with_too_many_subscriptions_is_disconnected() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::XPUB);
    for name in ["carol", "dave"] {
        place.certificate(name, None);
        place.accept(name);
    }
    let gate = gate_with_rights(&place, "[[gate.allow]]\ntopics = [\"news\"]\n");
    // Refused topics count, too, since libzmq keeps them.
    for (name, count, prefix) in
        [("carol", 10_001, "n".to_owned()), ("dave", 600, format!("news {}", "x".repeat(2_000)))]
    {
        let client = sender(&place, &context, name, &gate);
        (0..count).for_each(|number| client.send(&format!("\u{1}{prefix}{number}"), 0).unwrap());
        let line = gate.process.event("ClientDisconnected");
        let reason = line["reason"].as_str().unwrap();
        assert!(line["user_id"] == name && reason.contains("as many subscriptions"), "{line}");
    }
    let bob = subscriber(&place, &context, "bob", &gate, &["news of bob"]);
    let mut passed_on = std::iter::from_fn(|| Some(frames(&service).remove(0)));
    // From dave, only the topics up to the limit were passed on, and their ends.
    let next = passed_on.find(|text| !text.starts_with("\u{1}news x") && !text.starts_with("\u{0}news x"));
    assert_eq!(next.as_deref(), Some("\u{1}news of bob"));
    service.send("news of bob, too", 0).unwrap();
    assert_eq!(frames(&bob), ["news of bob, too"]);
}

/// The limits of a user hold for all of its connections together.
#[test]
fn a_user_with_too_many_subscriptions_on_several_connections_is_disconnected() {
    const TOPICS: u32 = 9_000;
    let (place, context) = (Place::new(), zmq::Context::new());
    let gate = place.gate("publish", &[]);
    let passed_on = |gate: &Gate| gate.metric("zmq_auth_gate_messages_total", "to=\"service\"");
    let subscribe = |name: &str| {
        let client = sender(&place, &context, "alice", &gate);
        (0..TOPICS).for_each(|number| client.send(&format!("\u{1}{number}"), 0).unwrap());
        client.send(&format!("\u{1}{name}"), 0).unwrap();
        client
    };
    let mut clients: Vec<_> = ["first", "second", "third", "fourth"].into_iter().map(subscribe).collect();
    // The service gets each topic once.
    gate.until("all topics are known", |gate| passed_on(gate) == u64::from(TOPICS) + 4);
    assert_eq!(gate.metric("zmq_auth_gate_disconnected_total", ""), 0);
    clients.push(subscribe("fifth"));
    let line = gate.process.event("ClientDisconnected");
    let reason = line["reason"].as_str().unwrap();
    assert!(line["user_id"] == "alice" && reason.starts_with("its user has as many subscriptions"), "{line}");
    // Another user isn't affected.
    let bob = subscriber(&place, &context, "bob", &gate, &["of bob"]);
    gate.until("his is passed on", |gate| passed_on(gate) == u64::from(TOPICS) + 5);
    drop(bob);
}

#[test]
fn a_client_that_changes_its_subscriptions_too_often_is_disconnected() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let gate = place.gate("publish", &[]);
    let alice = place.connected(&context, zmq::XSUB, "alice", &gate);
    let (stop, end) = (AtomicBool::new(false), Instant::now() + DEADLINE);
    thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                let _ = alice.send("\u{1}topic", 0);
                let _ = alice.send("\u{0}topic", 0);
            }
        });
        let line = gate.process.event("ClientDisconnected");
        let reason = line["reason"].as_str().unwrap();
        assert!(line["user_id"] == "alice" && reason.starts_with("it changes its subscriptions too often"), "{line}");
        let line = gate.process.event("Retry");
        assert_eq!(line["reason"], "paused", "{line}");
        stop.store(true, Ordering::Relaxed);
    });
}

/// libzmq hangs up on a client that sends a longer one.
#[test]
fn a_topic_has_at_most_4096_bytes() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::XPUB);
    let gate = place.gate("publish", &[]);
    let (longest, too_long) = ("x".repeat(4_096), "y".repeat(4_097));
    let alice = subscriber(&place, &context, "alice", &gate, &[&longest]);
    assert_eq!(frames(&service), [format!("\u{1}{longest}")]);
    service.send(&longest, 0).unwrap();
    assert_eq!(frames(&alice), [longest]);
    let _bob = subscriber(&place, &context, "bob", &gate, &[&too_long]);
    // He connects again, since he was hung up on.
    for _ in 0..2 {
        while gate.process.event("Allowed")["user_id"] != "bob" {}
    }
    alice.set_subscribe(b"last").unwrap();
    assert_eq!(frames(&service), ["\u{1}last"], "his hasn't been passed on");
}
