//! `--kind reply`: who is accepted, what the service sees, and who gets a reply.

use zmq_auth::{Certificate, Handshake, MonitoredSocket, SocketExt, zmq};

use super::{DEADLINE, Place, frames, json};

#[test]
fn a_pyzmq_service_without_security_serves_accepted_clients_alone() {
    let place = Place::new();
    let service = place.python(&["service", "REP", &place.ipc("app.sock")]);
    service.line();
    let gate = place.gate("reply", &[]);

    let alice = place.python(&["client", "REQ", &gate.front, "alice", "one", "two"]);
    assert_eq!(alice.line()["denied"], serde_json::Value::Null);
    assert_eq!(alice.line()["reply"], serde_json::json!(["reply to", "one"]));
    assert_eq!(alice.line()["reply"], serde_json::json!(["reply to", "two"]));
    let mallory = place.python(&["client", "REQ", &gate.front, "mallory", "three"]);
    assert_eq!(mallory.line()["denied"], 400);

    let context = zmq::Context::new();
    let mut denied = place.monitored(&context, zmq::DEALER, "mallory", &gate);
    assert_eq!(denied.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
    let _ = denied.send_multipart(["", "four"], zmq::DONTWAIT);
    let bob = place.connected(&context, zmq::DEALER, "bob", &gate);
    bob.send_multipart(["", "five", "six"], 0).unwrap();
    assert_eq!(frames(&bob), ["", "reply to", "five", "six"]);

    let received: Vec<_> = (0..3).map(|_| service.line()["received"].clone()).collect();
    assert_eq!(received, [serde_json::json!(["one"]), serde_json::json!(["two"]), serde_json::json!(["five", "six"])]);
    assert_eq!(gate.process.event("Denied")["status"], 400);
    gate.stop();
    assert!(service.lines.try_recv().is_err(), "nothing of mallory has reached the service");
}

#[test]
fn the_sender_frame_says_who_sent_a_request_and_no_client_can_forge_it() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::REP);
    let gate = place.gate("reply", &["--sender-frame", "--sender-metadata", "X-Team"]);
    let forged = r#"{"user_id":"root","address":"127.0.0.1","metadata":{}}"#;
    // Both claim to be in the team root. Only alice has a team, by her certificate.
    let expected = [("alice", serde_json::json!({ "X-Team": "red" })), ("bob", serde_json::json!({}))];
    for (name, metadata) in expected {
        let client = place.python(&["client", "REQ", &gate.front, name, &format!("{forged}|body")]);
        let received = frames(&service);
        let sender = serde_json::json!({ "user_id": name, "address": "127.0.0.1", "metadata": metadata });
        assert_eq!((json(&received[0]), &received[1..]), (sender, &[forged.to_owned(), "body".to_owned()][..]));
        service.send("done", 0).unwrap();
        assert_eq!(client.line()["denied"], serde_json::Value::Null);
        assert_eq!(client.line()["reply"], serde_json::json!(["done"]));
    }

    // Without an empty frame, the sender frame has no place.
    let dealer = place.connected(&context, zmq::DEALER, "alice", &gate);
    dealer.send_multipart([forged, "body"], 0).unwrap();
    gate.until("the request is counted", |gate| gate.dropped("no_empty_frame") == 1);
    // The client's own envelope isn't changed.
    dealer.send_multipart(["envelope", "", "", "body"], 0).unwrap();
    let received = frames(&service);
    assert_eq!(
        (json(&received[0])["user_id"].as_str(), &received[1..]),
        (Some("alice"), &["".into(), "body".into()][..])
    );
    service.send("done", 0).unwrap();
    assert_eq!(frames(&dealer), ["envelope", "", "done"]);
}

/// Pending replies to a revoked client are dropped; others lose nothing.
#[test]
fn a_revoked_client_is_disconnected_alone() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::DEALER);
    let gate = place.gate("reply", &[]);
    let mut alice = place.monitored(&context, zmq::DEALER, "alice", &gate);
    let bob = place.connected(&context, zmq::DEALER, "bob", &gate);
    assert_eq!(alice.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Authenticated));
    alice.send_multipart(["", "hers"], 0).unwrap();
    let hers = service.recv_multipart(0).unwrap();

    // Bob always has requests pending.
    let mut received = 0;
    let mut exchange = |count: usize| {
        for number in 0..count {
            bob.send_multipart(["", &number.to_string()], 0).unwrap();
        }
        for number in 0..count {
            let request = service.recv_multipart(0).unwrap();
            assert_eq!(request[2], number.to_string().as_bytes());
            service.send_multipart(request, 0).unwrap();
        }
        for number in 0..count {
            assert_eq!(frames(&bob), ["", &number.to_string()]);
        }
        received += count;
    };
    exchange(100);
    let revoked = place.revoke("alice");
    let line = gate.process.event("ClientDisconnected");
    let took = revoked.elapsed();
    assert_eq!((line["user_id"].as_str(), line["address"].as_str()), (Some("alice"), Some("127.0.0.1")), "{line}");
    exchange(100);
    // She reconnects by herself, and is refused.
    assert_eq!(alice.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
    service.send_multipart(hers, 0).unwrap();
    gate.until("the reply to her is dropped", |gate| gate.dropped("unknown_client") == 1);
    exchange(100);
    assert_eq!(received, 300);
    assert_eq!(gate.metric("zmq_auth_gate_disconnected_total", ""), 1);
    println!("a client that sent nothing was disconnected {took:?} after its certificate had been taken out");
}

/// A service that takes nothing doesn't prevent a revoked client's disconnection.
#[test]
fn a_stalled_service_does_not_stop_a_revocation() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = context.socket(zmq::DEALER).unwrap();
    service.set_rcvhwm(1).unwrap();
    service.set_rcvtimeo(super::DEADLINE_MS).unwrap();
    service.set_linger(0).unwrap();
    service.bind(&place.ipc("app.sock")).unwrap();
    let gate = place.gate("reply", &[]);
    let (alice, bob) =
        (place.connected(&context, zmq::DEALER, "alice", &gate), place.connected(&context, zmq::DEALER, "bob", &gate));
    bob.send_multipart(["", "bob"], 0).unwrap();
    alice.send_multipart(["", "first"], 0).unwrap();
    let request = std::iter::from_fn(|| service.recv_multipart(0).ok()).find(|request| request[2] == b"bob").unwrap();
    gate.until("both are known", |gate| gate.metric("zmq_auth_gate_clients", "") == 2);

    // Send until all sockets on the way have reached their high-water marks.
    bob.set_sndtimeo(2_000).unwrap();
    let body = vec![0; 100_000];
    let sent = (0..).take_while(|_| bob.send_multipart([&b""[..], &body], 0).is_ok()).count();
    assert!((1..100_000).contains(&sent), "{sent}");
    let revoked = place.revoke("alice");
    assert_eq!(gate.process.event("ClientDisconnected")["user_id"], "alice");
    let took = revoked.elapsed();
    // Replies are still passed on.
    service.send_multipart(request, 0).unwrap();
    assert_eq!(frames(&bob), ["", "bob"]);
    println!("{sent} requests of 100 kB were taken until the clients had to wait; disconnected after {took:?}");
}

/// Only time passes: no message arrives, and no file changes.
#[test]
fn a_client_whose_certificate_expires_is_disconnected() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::REP);
    let gate = place.gate("reply", &[]);
    let end = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(10);
    let certificate = Certificate::generate().unwrap().with_metadata("not-after", end.to_string()).unwrap();
    certificate.save_full_pair(&place.directory, "carol").unwrap();
    place.accept("carol");
    place.until_decided(&context, zmq::REQ, "carol", &gate, Handshake::Authenticated);
    let carol = place.connected(&context, zmq::REQ, "carol", &gate);
    carol.send("hello", 0).unwrap();
    assert_eq!(frames(&service), ["hello"]);
    service.send("there", 0).unwrap();
    assert_eq!(frames(&carol), ["there"]);
    assert_eq!(gate.process.event("ClientDisconnected")["user_id"], "carol");
    let late = jiff::Timestamp::now().duration_since(end);
    assert!(late >= jiff::SignedDuration::ZERO, "{late:?}");
    println!("disconnected {late:?} after the end of its certificate");
}

#[test]
fn plain_and_null_clients_are_accepted_by_their_policy() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let policy = std::fs::read_to_string(place.path("policy.toml")).unwrap();
    let shop = "\n[domain.shop]\nplain = { clear_passwords = { dave = \"correct horse\" } }\n[domain.hall]\nnull = \"allow\"\n";
    std::fs::write(place.path("policy.toml"), policy + shop).unwrap();
    let service = place.service(&context, zmq::REP);
    let back = place.ipc("app.sock");
    for (domain, mechanism, user) in [("shop", "--plain", Some("dave")), ("hall", "--null", None)] {
        let arguments =
            ["--front", "tcp://127.0.0.1:*", "--back", &back, "--kind", "reply", "--domain", domain, mechanism];
        let gate = place.gate_with(&[&arguments[..], &["--sender-frame"]].concat());
        let connect = |password: &str| {
            let mut client = context.socket(zmq::DEALER).unwrap();
            client.set_linger(0).unwrap();
            client.set_rcvtimeo(super::DEADLINE_MS).unwrap();
            if let Some(user) = user {
                client.plain_client(user, password).unwrap();
            }
            let mut client = MonitoredSocket::new(&context, client).unwrap();
            client.connect(&gate.front).unwrap();
            let outcome = client.wait_for_handshake(DEADLINE).unwrap();
            (client, outcome)
        };
        let (client, outcome) = connect("correct horse");
        assert_eq!(outcome, Some(Handshake::Authenticated));
        client.send_multipart(["", "hello"], 0).unwrap();
        let request = frames(&service);
        assert_eq!((json(&request[0])["user_id"].as_str(), &*request[1]), (user, "hello"));
        service.send("there", 0).unwrap();
        assert_eq!(frames(&client), ["", "there"]);
        if user.is_some() {
            assert_eq!(connect("guess").1, Some(Handshake::Denied(400)));
        }
        gate.stop();
    }
    // NULL without an entry in the policy.
    let arguments = ["--front", "tcp://127.0.0.1:*", "--back", &back, "--kind", "reply", "--domain", "lab", "--null"];
    let gate = place.gate_with(&arguments);
    let mut client = MonitoredSocket::new(&context, context.socket(zmq::DEALER).unwrap()).unwrap();
    client.connect(&gate.front).unwrap();
    assert_eq!(client.wait_for_handshake(DEADLINE).unwrap(), Some(Handshake::Denied(400)));
}
