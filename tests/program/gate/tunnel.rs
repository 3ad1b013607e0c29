//! `zmq-auth tunnel`: clients without security at one end, a CURVE server at the other.

use std::os::unix::fs::PermissionsExt;

use zmq_auth::{Authenticator, SocketExt, Verdict, zmq};

use super::{Gate, Place, frames};
use crate::run::run;

fn tunnel(place: &Place, gate: &Gate, kind: &str, key: &str, options: &[&str]) -> Gate {
    let local = place.ipc("local.sock");
    let key = format!("{key}.key_secret");
    let arguments =
        ["tunnel", "--local", &local, "--to", &gate.front, "--kind", kind, "--server", "server.key", "--key", &key];
    Gate::start(place.directory.path(), &[&arguments[..], options].concat())
}

#[test]
fn a_pyzmq_client_without_security_reaches_a_service_without_security() {
    let place = Place::new();
    let service = place.python(&["service", "REP", &place.ipc("app.sock")]);
    service.line();
    let gate = place.gate("reply", &["--sender-frame"]);
    let tunnel = tunnel(&place, &gate, "reply", "alice", &[]);
    let client = place.python(&["bare", "REQ", &tunnel.front, "one", "two"]);
    assert_eq!(client.line()["denied"], serde_json::Value::Null);
    for text in ["one", "two"] {
        let reply = client.line()["reply"].clone();
        assert_eq!((&reply[0], &reply[2]), (&"reply to".into(), &text.into()), "{reply}");
        assert_eq!(super::json(reply[1].as_str().unwrap())["user_id"], "alice");
    }
    tunnel.stop();
    gate.stop();
}

#[test]
fn subscriptions_and_messages_go_through_both() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let service = place.service(&context, zmq::XPUB);
    let gate = place.gate("publish", &[]);
    let both = tunnel(&place, &gate, "publish", "alice", &[]);
    let client = context.socket(zmq::SUB).unwrap();
    client.set_rcvtimeo(super::DEADLINE_MS).unwrap();
    client.set_subscribe(b"news").unwrap();
    client.connect(&both.front).unwrap();
    assert_eq!(frames(&service), ["\u{1}news"]);
    service.send_multipart(["news", "today"], 0).unwrap();
    assert_eq!(frames(&client), ["news", "today"]);

    let place = Place::new();
    let service = place.service(&context, zmq::PULL);
    let gate = place.gate("collect", &[]);
    let both = tunnel(&place, &gate, "collect", "bob", &[]);
    let client = context.socket(zmq::PUSH).unwrap();
    client.connect(&both.front).unwrap();
    client.send("a line", 0).unwrap();
    assert_eq!(frames(&service), ["a line"]);
}

#[test]
fn a_tunnel_that_the_server_denies_says_so_and_ends() {
    let place = Place::new();
    let gate = place.gate("reply", &[]);
    let mut denied = tunnel(&place, &gate, "reply", "mallory", &[]);
    assert_eq!(denied.process.ended().code(), Some(3));
}

#[test]
fn only_the_users_that_are_named_may_use_it() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let gate = place.gate("reply", &[]);
    let others = tunnel(&place, &gate, "reply", "alice", &["--local-uid", "4242"]);
    let client = context.socket(zmq::DEALER).unwrap();
    client.set_linger(0).unwrap();
    let mut client = zmq_auth::MonitoredSocket::new(&context, client).unwrap();
    client.connect(&others.front).unwrap();
    let handshake = client.wait_for_handshake(super::DEADLINE).unwrap();
    assert_eq!(handshake, Some(zmq_auth::Handshake::Denied(400)));
    let arguments =
        ["tunnel", "--to", &gate.front, "--kind", "reply", "--server", "server.key", "--key", "alice.key_secret"];
    for (local, says) in [
        ("tcp://127.0.0.1:*", "--any-local-user-may-use-the-key"),
        ("tcp://*:5999", "not a loopback address"),
        ("tcp://0.0.0.0:5999", "not a loopback address"),
    ] {
        let outcome = run(place.directory.path(), &[&arguments[..], &["--local", local]].concat());
        assert!(outcome.code == 2 && outcome.stderr.contains(says), "{local}: {}", outcome.stderr);
    }
}

/// 500 means that the server can't decide now; only 400 is final.
#[test]
fn a_server_that_cannot_decide_is_asked_again() {
    let (place, context) = (Place::new(), zmq::Context::new());
    let policy = Authenticator::new();
    policy.configure_curve_callback("lab", |_, _| Verdict::Fault("its database is down".into())).unwrap();
    let _running = policy.start(&context).unwrap();
    let mut server = context.socket(zmq::REP).unwrap();
    server.curve_server(&place.keys("server"), "lab").unwrap();
    server.set_rcvtimeo(super::DEADLINE_MS).unwrap();
    server.bind("tcp://127.0.0.1:*").unwrap();
    let to = server.endpoint().unwrap();
    let local = place.ipc("local.sock");
    let tunnel = ["tunnel", "--local", &local, "--to", &to, "--kind", "reply", "--server", "server.key", "--key"];
    let tunnel = Gate::start(place.directory.path(), &[&tunnel[..], &["alice.key_secret"]].concat());
    let line = tunnel.process.event("ServiceHandshakeFailed");
    assert!(line["reason"].as_str().unwrap().contains("500"), "{line}");
    policy.configure_curve_callback("lab", |_, _| true).unwrap();
    let client = context.socket(zmq::REQ).unwrap();
    client.connect(&tunnel.front).unwrap();
    client.send("hello", 0).unwrap();
    assert_eq!(frames(&server), ["hello"]);
    tunnel.process.event("ServiceConnected");
}

#[test]
fn its_socket_can_be_reached_by_those_alone_that_it_asks_about() {
    let place = Place::new();
    let gate = place.gate("reply", &[]);
    for (options, expected) in [(&[][..], 0o600), (&["--local-uid", "4242"], 0o666)] {
        let _tunnel = tunnel(&place, &gate, "reply", "alice", options);
        let mode = std::fs::metadata(place.path("local.sock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{options:?}");
    }
}
