//! `--kind collect`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use zmq_auth::{Handshake, zmq};

use super::{DEADLINE, Place, frames, json};

#[test]
fn messages_of_accepted_clients_reach_a_pyzmq_service_with_their_sender_before_them() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.python(&["service", "PULL", &place.ipc("app.sock")]);
    service.line();
    let gate = place.gate("collect", &["--sender-frame", "--sender-metadata", "X-Team"]);
    let alice = place.python(&["client", "PUSH", &gate.front, "alice", "one", "two|three"]);
    assert_eq!(alice.line()["denied"], serde_json::Value::Null);
    let mut mallory = place.monitored(&context, zmq::PUSH, "mallory", &gate);
    assert_eq!(mallory.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
    for expected in [&["one"][..], &["two", "three"]] {
        let received = service.line()["received"].clone();
        let received: Vec<_> = received.as_array().unwrap().iter().map(|frame| frame.as_str().unwrap()).collect();
        let sender = serde_json::json!({ "user_id": "alice", "address": "127.0.0.1", "metadata": { "X-Team": "red" } });
        assert_eq!((json(received[0]), &received[1..]), (sender, expected));
    }
    gate.stop();
}

/// Messages of clients that send and leave are passed on, even if others reuse their descriptors.
#[test]
fn what_a_client_has_sent_before_it_left_is_passed_on() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::PULL);
    let gate = place.gate("collect", &[]);
    for number in 0..200 {
        let client = place.client(&context, zmq::PUSH, if number % 2 == 0 { "alice" } else { "bob" });
        client.set_linger(super::DEADLINE_MS).unwrap();
        client.connect(&gate.front).unwrap();
        client.send(&number.to_string(), 0).unwrap();
    }
    let mut received: Vec<u32> = (0..200).map(|_| frames(&service)[0].parse().unwrap()).collect();
    received.sort_unstable();
    assert_eq!(received, (0..200).collect::<Vec<_>>());
    gate.until("all have left", |gate| gate.metric("zmq_auth_gate_clients", "") == 0);
}

/// Messages of a revoked client don't arrive any more; those of others do.
#[test]
fn nothing_of_a_revoked_client_arrives_after_its_revocation() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::PULL);
    let gate = place.gate("collect", &[]);
    let mut alice = place.monitored(&context, zmq::PUSH, "alice", &gate);
    let bob = place.connected(&context, zmq::PUSH, "bob", &gate);
    assert_eq!(alice.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));
    alice.send("alice", 0).unwrap();
    assert_eq!(frames(&service), ["alice"]);
    place.revoke("alice");
    let sent = (0..).find(|_| alice.send("too late", zmq::DONTWAIT).is_err() || gate.dropped("revoked") > 0);
    assert!(sent.is_some());
    gate.process.event("ClientDisconnected");
    assert_eq!(alice.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
    (0..1_000).for_each(|number| bob.send(&number.to_string(), 0).unwrap());
    // Messages that she sent before the reload may precede his.
    let his: Vec<_> = std::iter::from_fn(|| Some(frames(&service).remove(0)))
        .skip_while(|text| text == "too late")
        .take(1_000)
        .collect();
    assert_eq!(his, (0..1_000).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// The sockets of a process, by their descriptors.
fn sockets(pid: u32) -> BTreeMap<String, PathBuf> {
    let listed = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(|entry| entry.unwrap());
    // One may be closed meanwhile.
    let links = listed
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, std::fs::read_link(entry.path()).ok()?)));
    links.filter(|(_, link)| link.to_string_lossy().starts_with("socket:")).collect()
}

/// She has left before the gate receives her message. He has her descriptor, and is registered by his own message.
#[test]
fn the_connection_of_a_client_that_has_left_is_its_successors_alone() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let gate = place.gate("collect", &[]);
    let pid = gate.process.child.id();
    // The descriptor of a new client. (Without a service, the gate receives no messages. Its attempts to connect to one also
    // open sockets, for a moment.)
    let connect = |name: &str| {
        let before = sockets(pid);
        let mut client = place.monitored(&context, zmq::PUSH, name, &gate);
        assert_eq!(client.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));
        let mut descriptor = None;
        gate.until("it has one new socket", |_| {
            let mut new: Vec<_> = sockets(pid).into_iter().filter(|(n, link)| before.get(n) != Some(link)).collect();
            let is_one = new.len() == 1;
            descriptor = new.pop().filter(|_| is_one);
            is_one
        });
        (client, descriptor.unwrap())
    };
    let (alice, hers) = connect("alice");
    alice.set_linger(super::DEADLINE_MS).unwrap();
    alice.send("hers", 0).unwrap();
    drop(alice);
    gate.until("her connection has ended", |_| sockets(pid).get(&hers.0) != Some(&hers.1));
    let end = Instant::now() + DEADLINE;
    let bob = loop {
        let (bob, his) = connect("bob");
        if his.0 == hers.0 {
            break bob;
        }
        assert!(Instant::now() < end, "her descriptor isn't used again");
    };
    bob.send("his", 0).unwrap();
    let service = place.service(&context, zmq::PULL);
    let mut received = [frames(&service), frames(&service)].concat();
    received.sort_unstable();
    assert_eq!(received, ["hers", "his"]);
    gate.until("she has left", |gate| gate.metric("zmq_auth_gate_clients", "") == 1);
    place.revoke("alice");
    place.until_decided(&context, zmq::PUSH, "alice", &gate, Handshake::Denied(400));
    bob.send("still there", 0).unwrap();
    assert_eq!(frames(&service), ["still there"]);
    gate.process.signal(nix::sys::signal::Signal::SIGTERM);
    let lines = std::iter::from_fn(|| gate.process.lines.recv_timeout(DEADLINE).ok());
    assert!(lines.into_iter().all(|line| line["event"] != "ClientDisconnected"));
}

/// The service reads nothing until all queues are full.
#[test]
fn what_the_service_does_not_take_yet_arrives_once_and_in_order() {
    for options in [&[][..], &["--sender-frame"]] {
        let (place, context) = (Place::new(), zmq::Context::new());
        let service = place.service(&context, zmq::PULL);
        let gate = place.gate("collect", options);
        let client = place.connected(&context, zmq::PUSH, "alice", &gate);
        let body = "x".repeat(10_000);
        let mut sent = 0;
        // The queues of the client and the network hold fewer than 3,000.
        while client.poll(zmq::POLLOUT, if sent < 3_000 { 60_000 } else { 2_000 }).unwrap() > 0 {
            client.send_multipart([&sent.to_string(), &body], 0).unwrap();
            sent += 1;
            assert!(sent < 20_000, "messages are lost: no queue holds so many");
        }
        assert!(sent >= 3_000, "{sent}");
        for number in 0..sent {
            let frames = frames(&service);
            assert_eq!(frames.len(), 2 + options.len());
            assert_eq!(frames[options.len()], number.to_string());
        }
        assert_eq!(gate.dropped("service_gone"), 0);
        gate.stop();
    }
}
