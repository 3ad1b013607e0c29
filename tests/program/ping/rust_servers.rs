//! Servers of this crate, in this process.

use std::path::Path;
use std::time::Duration;

use zmq_auth::{Authenticator, SocketExt, ThreadAuthenticator, Verdict, zmq};

use super::{Keys, SHORT, TIMEOUT, assert_causes, ping, ping_text};

fn server(context: &zmq::Context, set_up: impl FnOnce(&mut zmq::Socket)) -> (zmq::Socket, String) {
    let mut socket = context.socket(zmq::ROUTER).unwrap();
    set_up(&mut socket);
    socket.bind("tcp://127.0.0.1:*").unwrap();
    let endpoint = socket.endpoint().unwrap();
    (socket, endpoint)
}

fn assert_received_nothing(socket: &zmq::Socket) {
    assert_eq!(socket.poll(zmq::POLLIN, 0).unwrap(), 0, "a ping sends nothing");
}

#[test]
fn a_guarded_server_authenticates_and_denies() {
    let (keys, context) = (Keys::new(), zmq::Context::new());
    let auth = ThreadAuthenticator::start(&context).unwrap();
    auth.configure_curve("lab", keys.clients()).unwrap();
    let (socket, endpoint) = server(&context, |socket| socket.curve_server(&keys.server, "lab").unwrap());
    let with = |key| [endpoint.as_str(), "--server", "server.key", "--key", key, "--timeout", TIMEOUT];
    ping(keys.path(), &with("alice.key_secret"), "", 0);
    let report = ping(keys.path(), &with("mallory.key_secret"), "", 3);
    assert_eq!(report["code"], 400, "{report}");
    let text = ping_text(keys.path(), &with("alice.key_secret"), 0);
    assert!(text.starts_with(&format!("{endpoint}: authenticated (CURVE, DEALER, ")), "{text}");
    assert!(!text.contains("Likely causes"), "{text}");
    assert_received_nothing(&socket);
}

#[test]
fn an_ipc_server_is_asked_as_one_of_tcp() {
    let (keys, context) = (Keys::new(), zmq::Context::new());
    let auth = ThreadAuthenticator::start(&context).unwrap();
    auth.configure_plain("lab", [("alice", "correct horse")]).unwrap();
    let mut socket = context.socket(zmq::PULL).unwrap();
    socket.plain_server("lab").unwrap();
    let endpoint = format!("ipc://{}/server.sock", keys.path().display());
    socket.bind(&endpoint).unwrap();
    // The client is denied before the socket types are compared.
    for (password, exit, client_type) in [("correct horse", 0, "PUSH"), ("wrong", 3, "DEALER")] {
        let arguments = [&endpoint, "--plain", "alice", "--stdin", "--timeout", TIMEOUT];
        let report = ping(keys.path(), &arguments, password, exit);
        assert_eq!(report["type"], client_type, "{report}");
    }
}

#[test]
fn the_wrong_key_of_the_server_is_the_first_cause() {
    let (keys, context) = (Keys::new(), zmq::Context::new());
    let auth = ThreadAuthenticator::start(&context).unwrap();
    auth.configure_curve("lab", keys.clients()).unwrap();
    let (socket, endpoint) = server(&context, |socket| socket.curve_server(&keys.server, "lab").unwrap());
    let arguments = [&endpoint, "--server", "another.key", "--key", "alice.key_secret", "--timeout", TIMEOUT];
    let text = ping_text(keys.path(), &arguments, 4);
    assert!(text.contains("no handshake: the server closed the connection without saying why"), "{text}");
    assert!(text.contains("  1. another.key is not this server's certificate."), "{text}");
    assert_received_nothing(&socket);
}

#[test]
fn a_null_server_that_is_asked_with_curve_has_another_mechanism() {
    let (keys, context) = (Keys::new(), zmq::Context::new());
    let _auth = ThreadAuthenticator::start(&context).unwrap();
    let (_socket, endpoint) = server(&context, |socket| socket.null_server("lab").unwrap());
    let arguments = [&endpoint, "--server", "server.key", "--key", "alice.key_secret", "--timeout", TIMEOUT];
    let text = ping_text(keys.path(), &arguments, 4);
    assert!(text.contains("no handshake: the server's mechanism is NULL"), "{text}");
    assert!(text.contains("  1. The server's mechanism is NULL:"), "{text}");
}

#[test]
fn retry_is_among_the_likely_causes() {
    let (keys, context) = (Keys::new(), zmq::Context::new());
    let auth = Authenticator::new();
    auth.configure_curve_callback("lab", |_, _| Verdict::Retry).unwrap();
    auth.configure_plain_callback("lab", |_, _, _| Verdict::Retry).unwrap();
    let _running = auth.start(&context).unwrap();
    let (_curve, endpoint) = server(&context, |socket| socket.curve_server(&keys.server, "lab").unwrap());
    let arguments = [&endpoint, "--server", "server.key", "--key", "alice.key_secret", "--timeout", SHORT];
    let report = ping(keys.path(), &arguments, "", 4);
    // libzmq either hangs up or stays silent, depending on the timing of its threads.
    let has_silent = |report: &serde_json::Value| {
        report["attempts"].as_array().unwrap().iter().any(|attempt| attempt["outcome"] == "silent")
    };
    match has_silent(&report) {
        true => assert_causes(&report, &["put-off", "no-handler", "slow"]),
        false => assert_causes(&report, &["server-key", "socket-type", "put-off", "no-handler", "lost"]),
    }
    let (_plain, endpoint) = server(&context, |socket| socket.plain_server("lab").unwrap());
    let report = ping(keys.path(), &[&endpoint, "--plain", "alice", "--stdin", "--timeout", SHORT], "guess", 4);
    match has_silent(&report) {
        true => assert_causes(&report, &["put-off", "no-handler", "slow"]),
        false => assert_causes(&report, &["socket-type", "put-off", "no-handler", "lost"]),
    }
}

#[test]
fn a_server_without_a_handler_is_closed_or_silent() {
    let (keys, context) = (Keys::new(), zmq::Context::new());
    let (_curve, endpoint) = server(&context, |socket| socket.curve_server(&keys.server, "lab").unwrap());
    let arguments = [&endpoint, "--server", "server.key", "--key", "alice.key_secret", "--timeout", TIMEOUT];
    let report = ping(keys.path(), &arguments, "", 4);
    assert_causes(&report, &["server-key", "socket-type", "put-off", "no-handler", "lost"]);
    let (_plain, endpoint) = server(&context, |socket| socket.plain_server("lab").unwrap());
    let report = ping(keys.path(), &[&endpoint, "--plain", "alice", "--stdin", "--timeout", TIMEOUT], "guess", 4);
    assert_causes(&report, &["socket-type", "put-off", "no-handler", "lost"]);
    let (_null, endpoint) = server(&context, |socket| socket.null_server("lab").unwrap());
    let report = ping(keys.path(), &[&endpoint, "--null", "--timeout", SHORT], "", 4);
    assert_causes(&report, &["socket-type", "no-handler", "put-off", "slow"]);
}

#[test]
fn a_failing_callback_is_status_500() {
    let (keys, context) = (Keys::new(), zmq::Context::new());
    let auth = Authenticator::new();
    auth.configure_plain_callback("lab", |_, _, _| -> Verdict { panic!("as the test asks") }).unwrap();
    let _running = auth.start(&context).unwrap();
    let (_socket, endpoint) = server(&context, |socket| socket.plain_server("lab").unwrap());
    let report = ping(keys.path(), &[&endpoint, "--plain", "alice", "--stdin", "--timeout", TIMEOUT], "guess", 3);
    assert_eq!(report["code"], 500, "{report}");
    assert_causes(&report, &["handler-error", "credentials", "domain", "address"]);
}

#[test]
fn one_type_alone_is_tried_where_one_is_given() {
    let (keys, context) = (Keys::new(), zmq::Context::new());
    let auth = ThreadAuthenticator::start(&context).unwrap();
    auth.configure_curve("lab", keys.clients()).unwrap();
    let (_socket, endpoint) = server(&context, |socket| socket.curve_server(&keys.server, "lab").unwrap());
    let with = |socket_type, exit| {
        let credentials = ["--server", "server.key", "--key", "alice.key_secret", "--timeout", TIMEOUT];
        ping(keys.path(), &[&[endpoint.as_str(), "--type", socket_type], &credentials[..]].concat(), "", exit)
    };
    assert_eq!(with("dealer", 0)["type"], "DEALER");
    for socket_type in ["sub", "push"] {
        let report = with(socket_type, 4);
        assert_eq!(report["attempts"].as_array().unwrap().len(), 1, "{report}");
        assert_causes(&report, &["server-key", "socket-type", "put-off", "no-handler", "lost"]);
    }
}

/// libzmq's client closes the connection without an event, unless the server is the first to close it.
#[test]
fn a_null_client_of_the_wrong_type_is_told_of_the_type_first() {
    let context = zmq::Context::new();
    let (_socket, endpoint) = server(&context, |_| {});
    let report = ping(Path::new("."), &[&endpoint, "--null", "--type", "sub", "--timeout", SHORT], "", 4);
    match report["attempts"][0]["outcome"].as_str() {
        Some("silent") => {
            assert_causes(&report, &["socket-type", "no-handler", "put-off", "slow"]);
            // Most of the time is used for the handshake.
            assert!(report["milliseconds"].as_u64().unwrap() >= 1_350, "{report}");
        }
        _ => assert_causes(&report, &["socket-type", "put-off", "lost"]),
    }
}

#[test]
fn an_ipv6_server_is_reached() {
    // Not every machine has IPv6.
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let context = zmq::Context::new();
    let socket = context.socket(zmq::PULL).unwrap();
    socket.set_ipv6(true).unwrap();
    socket.bind("tcp://[::1]:*").unwrap();
    let report = ping(Path::new("."), &[&socket.endpoint().unwrap(), "--null", "--timeout", TIMEOUT], "", 0);
    assert_eq!(report["type"], "PUSH", "{report}");
}

#[test]
fn a_password_comes_from_a_file_too() {
    let (directory, context) = (tempfile::tempdir().unwrap(), zmq::Context::new());
    let auth = ThreadAuthenticator::start(&context).unwrap();
    auth.configure_plain("lab", [("alice", "correct horse")]).unwrap();
    let (_socket, endpoint) = server(&context, |socket| socket.plain_server("lab").unwrap());
    for (content, exit) in [("correct horse\r\n", 0), ("correct horse", 0), ("wrong\n", 3)] {
        std::fs::write(directory.path().join("password"), content).unwrap();
        let arguments = [&endpoint, "--plain", "alice", "--password-file", "password", "--timeout", TIMEOUT];
        ping(directory.path(), &arguments, "", exit);
    }
}

/// No second handshake begins while the first is being decided, so a wrong password counts once.
#[test]
fn a_slow_decision_is_waited_for() {
    let context = zmq::Context::new();
    let auth = Authenticator::new();
    let (asked, questions) = std::sync::mpsc::channel();
    let gate = std::sync::Arc::new(std::sync::Barrier::new(2));
    let at_gate = gate.clone();
    auth.configure_plain_callback("lab", move |_, _, _| {
        let _ = asked.send(());
        at_gate.wait();
        false
    })
    .unwrap();
    let _running = auth.start(&context).unwrap();
    let (_socket, endpoint) = server(&context, |socket| socket.plain_server("lab").unwrap());
    let pinging = std::thread::spawn(move || {
        ping(Path::new("."), &[&endpoint, "--plain", "alice", "--stdin", "--timeout", TIMEOUT], "guess", 3)
    });
    questions.recv_timeout(super::DEADLINE).unwrap();
    assert!(questions.recv_timeout(Duration::from_secs(2)).is_err(), "asked a second time");
    gate.wait();
    let report = pinging.join().unwrap();
    assert!(report["milliseconds"].as_u64().unwrap() >= 2_000, "{report}");
}
