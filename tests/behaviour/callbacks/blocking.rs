//! Synchronous callbacks: their arguments, verdicts and failures, and what they may do.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use zmq_auth::{Authenticator, Handshake, Metadata, SocketExt, Verdict};

use super::PanicsOnDrop;
use crate::harness::front_end::{FrontEnd, Running, behaviours};
use crate::harness::log::{keys, password, stranger};
use crate::harness::sockets::{Client, Server, Transport};
use crate::harness::zap;

behaviours! {
    a_curve_callback_decides_by_key,
    a_plain_callback_decides_by_name_and_password,
    a_panic_is_500_for_its_own_client_only,
    an_error_is_500_for_its_own_client_only,
    each_verdict_has_its_status_at_both_ends,
    a_callback_may_change_the_policy,
    a_callback_may_stop_the_handler,
    a_callback_learns_where_the_client_comes_from,
}

fn a_curve_callback_decides_by_key(front_end: FrontEnd) {
    let (context, auth, server_keys, client_keys) = (zmq::Context::new(), Authenticator::new(), keys(), keys());
    let right = client_keys.public;
    auth.configure_curve_callback("lab", move |key, peer| *key == right && peer.domain() == "lab").unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.curve_server(&server_keys, "lab"));
    Client::curve(&context, server.endpoint(), &client_keys, &server_keys.public).round_trip(&server);
    Client::curve(&context, server.endpoint(), &keys(), &server_keys.public).expect_denied();
    server.assert_nothing_received();
}

fn a_plain_callback_decides_by_name_and_password(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let right = password("a");
    auth.configure_plain_callback("shop", move |user, secret, _| user == "alice" && secret == right).unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.plain_server("shop"));
    let received = Client::plain(&context, server.endpoint(), "alice", &password("a")).round_trip(&server);
    assert_eq!(received.sender().user_id(), Some("alice"));
    Client::plain(&context, server.endpoint(), "alice", &password("b")).expect_denied();
    Client::plain(&context, server.endpoint(), "bob", &password("a")).expect_denied();
}

fn a_panic_is_500_for_its_own_client_only(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain_callback("shop", |user, _, _| match user {
        "mallory" => panic!("a panic that a test makes"),
        // Its payload panics when it is dropped.
        "trent" => std::panic::panic_any(PanicsOnDrop),
        _ => true,
    })
    .unwrap();
    let running = front_end.start(&auth, &context);
    let mut server = Server::new(&context, |socket| socket.plain_server("shop"));
    for user in ["mallory", "trent", "mallory"] {
        Client::plain(&context, server.endpoint(), user, &password("a")).expect(Handshake::Denied(500));
        server.expect(Handshake::Denied(500));
        Client::plain(&context, server.endpoint(), "alice", &password("a")).round_trip(&server);
        server.expect(Handshake::Authenticated);
    }
    assert_eq!((auth.counters().faults, auth.counters().allowed), (3, 3));
    running.stop().unwrap();
}

fn an_error_is_500_for_its_own_client_only(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain_callback("shop", |user, _, _| -> Result<bool, String> {
        match user {
            "alice" => Ok(true),
            "bob" => Ok(false),
            _ => Err("the directory is down".into()),
        }
    })
    .unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.plain_server("shop"));
    let connect = |user: &str| Client::plain(&context, server.endpoint(), user, &password("a"));
    connect("mallory").expect(Handshake::Denied(500));
    connect("bob").expect_denied();
    connect("alice").round_trip(&server);
}

fn each_verdict_has_its_status_at_both_ends(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_plain_callback("shop", |user, _, _| verdict(user)).unwrap();
    let _running = front_end.start(&auth, &context);
    let mut server = Server::new(&context, |socket| socket.plain_server("shop"));
    for (user, code) in [("deny", 400), ("fault", 500)] {
        Client::plain(&context, server.endpoint(), user, &password("a")).expect(Handshake::Denied(code));
        server.expect(Handshake::Denied(code));
    }
    let mut retried = Client::plain(&context, server.endpoint(), "retry", &password("a"));
    server.expect(Handshake::Denied(300));
    retried.assert_told_nothing();
    let received = Client::plain(&context, server.endpoint(), "allow", &password("a")).round_trip(&server);
    assert_eq!(received.sender().user_id(), Some("allow"));
    let received = Client::plain(&context, server.endpoint(), "as", &password("a")).round_trip(&server);
    assert_eq!(received.sender().user_id(), Some("another"));
    assert_eq!(received.sender().property("role"), Some("reader"));
}

fn verdict(user: &str) -> Verdict {
    match user {
        "allow" => Verdict::Allow,
        "as" => {
            let mut metadata = Metadata::default();
            metadata.insert("role", "reader").unwrap();
            Verdict::AllowAs { user_id: "another".into(), metadata }
        }
        "deny" => Verdict::Deny("not you".into()),
        "retry" => Verdict::Retry,
        _ => Verdict::Fault("broken".into()),
    }
}

fn a_callback_may_change_the_policy(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (inside, key) = (auth.clone(), stranger());
    auth.configure_plain_callback("shop", move |_, _, _| -> zmq_auth::Result<bool> {
        // Every kind of change, its own source included.
        inside.deny(["192.0.2.1"])?;
        inside.set_addresses(["127.0.0.1"], ["192.0.2.1"])?;
        inside.add_curve_key("lab", key)?;
        inside.remove_curve_key("lab", &key)?;
        inside.curve_user_id(|_| "x".into());
        inside.limit_callbacks(8, std::time::Duration::from_secs(4))?;
        inside.remove_domain("shop");
        inside.configure_plain("shop", [("bob", password("b"))])?;
        Ok(inside.counters().denied == 0 && format!("{inside:?}").contains("domains"))
    })
    .unwrap();
    let _running = front_end.start(&auth, &context);
    let server = Server::new(&context, |socket| socket.plain_server("shop"));
    // The change applies, including to the client that the callback decided about.
    Client::plain(&context, server.endpoint(), "alice", &password("a")).expect_denied();
    Client::plain(&context, server.endpoint(), "alice", &password("a")).expect_denied();
    Client::plain(&context, server.endpoint(), "bob", &password("b")).round_trip(&server);
    assert_eq!(zap::null(&auth, "shop", "192.0.2.1"), 400);
}

fn a_callback_may_stop_the_handler(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let running: Arc<Mutex<Option<Running>>> = Arc::default();
    let inside = running.clone();
    let (told, result) = std::sync::mpsc::channel();
    auth.configure_plain_callback("shop", move |_, _, _| {
        let taken = inside.lock().unwrap().take().expect("asked once");
        told.send(taken.stop()).unwrap();
        true
    })
    .unwrap();
    // Held until the handler is in place, so that the callback finds it.
    let mut slot = running.lock().unwrap();
    *slot = Some(front_end.start(&auth, &context));
    drop(slot);
    let mut server = Server::new(&context, |socket| socket.plain_server("shop"));
    let mut client = Client::plain(&context, server.endpoint(), "alice", &password("a"));
    result.recv_timeout(crate::harness::DEADLINE).expect("stop returns").unwrap();
    server.expect(Handshake::Denied(300));
    client.assert_told_nothing();
    // The endpoint is free.
    front_end.start(&auth, &context).stop().unwrap();
}

fn a_callback_learns_where_the_client_comes_from(front_end: FrontEnd) {
    let (context, auth, server_keys) = (zmq::Context::new(), Authenticator::new(), keys());
    let (told, peers) = std::sync::mpsc::channel();
    let of_plain = told.clone();
    auth.configure_curve_callback("*", move |_, peer| told.send(peer.clone()).is_ok()).unwrap();
    auth.configure_plain_callback("*", move |_, _, peer| of_plain.send(peer.clone()).is_ok()).unwrap();
    let _running = front_end.start(&auth, &context);
    let seen = || peers.recv_timeout(crate::harness::DEADLINE).unwrap();

    let server = Server::bind(&context, zmq::REP, Transport::Tcp6, |socket| socket.curve_server(&server_keys, "lab"));
    let endpoint = format!("tcp://127.0.0.1:{}", server.port());
    Client::curve(&context, &endpoint, &keys(), &server_keys.public).round_trip(&server);
    let peer = seen();
    assert_eq!((peer.domain(), peer.address()), ("lab", "::ffff:127.0.0.1"));
    assert_eq!(peer.ip(), Some("127.0.0.1".parse().unwrap()));
    assert_eq!(peer.ipc(), None);

    let server = Server::bind(&context, zmq::REP, Transport::Ipc, |socket| socket.plain_server("shop"));
    Client::plain(&context, server.endpoint(), "alice", &password("a")).round_trip(&server);
    let peer = seen();
    assert_eq!((peer.domain(), peer.ip()), ("shop", None));
    assert!(peer.address().starts_with("localhost"), "{peer:?}");
}

#[test]
fn credentials_that_are_not_text_never_reach_a_callback() {
    let auth = Authenticator::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    auth.configure_plain_callback("*", move |_, _, _| count.fetch_add(1, Ordering::Relaxed) < 100).unwrap();
    let count = asked.clone();
    auth.configure_curve_callback("*", move |_, _| count.fetch_add(1, Ordering::Relaxed) < 100).unwrap();
    let secret = password("a");
    let secret = secret.as_bytes();
    for (user, word) in
        [(&b"\xff"[..], secret), (b"alice\xc3", secret), (b"alice", b"\xff"), (b"alice", b"\xed\xa0\x80")]
    {
        assert_eq!(zap::plain(&auth, "d", user, word), 400);
    }
    // The same for a domain and an address that a callback would receive.
    for frame in [2, 3] {
        for (mechanism, credentials) in [("PLAIN", &[&b"alice"[..], secret][..]), ("CURVE", &[&[7; 32][..]])] {
            let mut request = zap::request("d", "127.0.0.1", mechanism, credentials);
            request[frame] = b"\xff".to_vec();
            assert_eq!(zap::status(&auth, &request), 400, "{mechanism}, frame {frame}");
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(zap::plain(&auth, "d", "\u{e9}".as_bytes(), secret), 200);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[test]
fn without_a_socket_callbacks_run_at_once_and_answer_the_same() {
    let auth = Authenticator::new();
    auth.configure_plain_callback("d", |user, _, _| {
        assert_ne!(user, "panic", "a panic that a test makes");
        verdict(user)
    })
    .unwrap();
    for (user, status, text) in [
        ("allow", 200, "OK"),
        ("as", 200, "OK"),
        ("deny", 400, "not you"),
        ("retry", 300, "try again later"),
        ("fault", 500, "broken"),
        ("panic", 500, "callback panicked"),
    ] {
        let secret = password("a");
        let request = zap::request("d", "127.0.0.1", "PLAIN", &[user.as_bytes(), secret.as_bytes()]);
        let reply = auth.handle_zap_message(&request).unwrap();
        assert_eq!((zap::status_of(&reply), &reply[3][..]), (status, text.as_bytes()), "{user}");
        assert_eq!(reply[4].is_empty(), status != 200, "{user}: {reply:?}");
        assert_eq!(reply[5].is_empty(), user != "as", "{user}: {reply:?}");
    }
    let counters = auth.counters();
    assert_eq!((counters.allowed, counters.denied, counters.retried, counters.faults), (2, 1, 1, 2));
}

#[test]
fn without_a_socket_callbacks_may_change_the_policy_too() {
    let auth = Authenticator::new();
    let (inside, of_map, key) = (auth.clone(), auth.clone(), stranger());
    auth.configure_plain_callback("d", move |_, _, _| inside.deny(["192.0.2.1"]).map(|()| inside.remove_domain("d")))
        .unwrap();
    auth.configure_curve_keys("d", [key]).unwrap();
    auth.curve_user_id(move |key| {
        of_map.curve_user_id(|_| "replaced".into());
        of_map.remove_curve_key("d", key).unwrap().to_string()
    });
    // On its own thread: if a lock were held, it would hang forever.
    let (told, statuses) = std::sync::mpsc::channel();
    let asked = auth.clone();
    std::thread::spawn(move || {
        let curve = (zap::curve(&asked, "d", &key), zap::curve(&asked, "d", &key));
        let secret = password("a");
        let plain = || zap::plain(&asked, "d", b"alice", secret.as_bytes());
        told.send((curve, (plain(), plain())))
    });
    let statuses = statuses.recv_timeout(crate::harness::DEADLINE).expect("no lock is held while a callback runs");
    // The change applies, including to the client that the callback decided about.
    assert_eq!(statuses, ((400, 400), (400, 400)));
    assert_eq!(zap::null(&auth, "d", "192.0.2.1"), 400);
}

#[test]
fn the_reason_of_a_callback_is_in_the_reply() {
    let auth = Authenticator::new();
    auth.configure_curve_callback("d", |_, _| Verdict::Deny("expired yesterday".into())).unwrap();
    let key = stranger();
    let reply = auth.handle_zap_message(&zap::request("d", "127.0.0.1", "CURVE", &[key.as_bytes()])).unwrap();
    assert_eq!((zap::status_of(&reply), &reply[3][..]), (400, &b"expired yesterday"[..]));
}
