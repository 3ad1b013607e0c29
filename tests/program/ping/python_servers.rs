//! pyzmq servers of each mechanism and socket type.

use super::{Keys, PythonServer, TIMEOUT, assert_causes, ping, ping_text};

#[test]
fn each_socket_type_is_found_with_and_without_a_handler() {
    let keys = Keys::new();
    let types = [
        ("REP", "DEALER"),
        ("ROUTER", "DEALER"),
        ("DEALER", "DEALER"),
        ("PUB", "SUB"),
        ("XPUB", "SUB"),
        ("PULL", "PUSH"),
    ];
    for (server_type, client_type) in types {
        let server = PythonServer::start(&[server_type, "null"]);
        let report = ping(keys.path(), &[&server.endpoint, "--null", "--timeout", TIMEOUT], "", 0);
        assert_eq!((&report["type"], &report["mechanism"]), (&client_type.into(), &"NULL".into()), "{report}");
        assert!(report["note"].as_str().unwrap().contains("asks no handler"), "{report}");
        server.received_nothing();
        let server = PythonServer::start(&[server_type, "null", "--domain", "lab", "--handler"]);
        let report = ping(keys.path(), &[&server.endpoint, "--null", "--timeout", TIMEOUT], "", 0);
        assert_eq!(report["type"], client_type, "{report}");
        server.received_nothing();
    }
}

#[test]
fn curve_is_authenticated_denied_or_closed_whatever_the_socket_type() {
    let keys = Keys::new();
    let (secret, clients) = (keys.path().join("server.key_secret"), keys.clients());
    let (secret, clients) = (secret.to_str().unwrap(), clients.to_str().unwrap());
    for (server_type, client_type) in [("REP", "DEALER"), ("ROUTER", "DEALER"), ("PUB", "SUB"), ("PULL", "PUSH")] {
        let server = PythonServer::start(&[
            server_type,
            "curve",
            "--domain",
            "lab",
            "--handler",
            "--secret",
            secret,
            "--clients",
            clients,
        ]);
        let with = |server_key, key, exit| {
            let arguments = [&server.endpoint, "--server", server_key, "--key", key, "--timeout", TIMEOUT];
            ping(keys.path(), &arguments, "", exit)
        };
        let report = with("server.key", "alice.key_secret", 0);
        assert_eq!((&report["type"], &report["mechanism"]), (&client_type.into(), &"CURVE".into()), "{report}");
        let report = with("server.key", "mallory.key_secret", 3);
        assert_eq!((&report["type"], &report["code"]), (&client_type.into(), &400.into()), "{report}");
        assert_causes(&report, &["client-key", "validity", "domain", "address"]);
        let report = with("another.key", "alice.key_secret", 4);
        assert!(report["type"].is_null() && report["code"].is_null(), "{report}");
        assert_causes(&report, &["server-key", "socket-type", "put-off", "no-handler", "lost"]);
        assert_eq!(report["attempts"].as_array().unwrap().len(), 3, "{report}");
        server.received_nothing();
    }
}

#[test]
fn plain_is_authenticated_or_denied_whatever_the_socket_type() {
    let keys = Keys::new();
    for (server_type, client_type) in [("REP", "DEALER"), ("XPUB", "SUB"), ("PULL", "PUSH")] {
        let server = PythonServer::start(&[server_type, "plain", "--domain", "lab", "--handler", "--user", "alice"]);
        let with = |user, password, exit| {
            let arguments = [&server.endpoint, "--plain", user, "--stdin", "--timeout", TIMEOUT];
            ping(keys.path(), &arguments, password, exit)
        };
        let report = with("alice", "correct horse\r\n", 0);
        assert_eq!((&report["type"], &report["mechanism"]), (&client_type.into(), &"PLAIN".into()), "{report}");
        for (user, password) in [("alice", "wrong"), ("bob", "correct horse")] {
            let report = with(user, password, 3);
            // The client is denied before the socket types are compared.
            assert_eq!((&report["type"], &report["code"]), (&"DEALER".into(), &400.into()), "{report}");
            assert_causes(&report, &["credentials", "domain", "address"]);
        }
        server.received_nothing();
    }
}

#[test]
fn an_address_that_is_denied_is_said_to_be_so() {
    let keys = Keys::new();
    let server = PythonServer::start(&["ROUTER", "null", "--domain", "lab", "--handler", "--deny", "127.0.0.1"]);
    let report = ping(keys.path(), &[&server.endpoint, "--null", "--timeout", TIMEOUT], "", 3);
    assert_causes(&report, &["address", "domain"]);
    let text = ping_text(keys.path(), &[&server.endpoint, "--null", "--timeout", TIMEOUT], 3);
    assert!(text.contains(": denied (400): ") && text.contains("  1. The server's address rules refuse"), "{text}");
    server.received_nothing();
}

#[test]
fn another_mechanism_is_named_as_the_only_cause() {
    let keys = Keys::new();
    let secret = keys.path().join("server.key_secret");
    let null = PythonServer::start(&["ROUTER", "null"]);
    let plain = PythonServer::start(&["ROUTER", "plain"]);
    let curve = PythonServer::start(&["ROUTER", "curve", "--secret", secret.to_str().unwrap()]);
    let endpoints = [(&null, "NULL"), (&plain, "PLAIN"), (&curve, "CURVE")];
    let as_null: &[&str] = &["--null"];
    let as_plain: &[&str] = &["--plain", "alice", "--stdin"];
    let as_curve: &[&str] = &["--server", "server.key", "--key", "alice.key_secret"];
    for (server, name) in endpoints {
        for (client, own_name) in [(as_null, "NULL"), (as_plain, "PLAIN"), (as_curve, "CURVE")] {
            if name == own_name {
                continue;
            }
            let arguments = [&[server.endpoint.as_str()], client, &["--timeout", TIMEOUT]].concat();
            let report = ping(keys.path(), &arguments, "correct horse", 4);
            assert_causes(&report, &["mechanism"]);
            let summary = format!("no handshake: the server's mechanism is {name}");
            assert_eq!(report["summary"], summary, "{own_name}: {report}");
        }
    }
}
