//! A policy file whose keys and users are in a bucket.

use std::fs;
use std::net::TcpListener;

use zmq_auth::{Authenticator, Metadata, Password, PolicyFile};

use crate::node::Node;
use crate::{PASSWORD, bucket, key, wait_until};

fn curve(auth: &Authenticator, key: &zmq_auth::PublicKey) -> Vec<u8> {
    let request: [&[u8]; 7] = [b"1.0", b"1", b"lab", b"::1", b"", b"CURVE", key.as_bytes()];
    auth.handle_zap_message(&request).unwrap()[2].clone()
}

#[test]
fn a_policy_file_names_a_bucket_and_a_reload_keeps_its_follower() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let alice = key();
    writer.add_key("lab", &alice, &Metadata::default()).unwrap();
    writer.add_user("lab", "alice", &Password::from("correct horse").hash().unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    fs::write(dir.path().join("login"), format!("server-1={PASSWORD}\n")).unwrap();
    let nats = format!(
        "[nats.fleet]\nurls = \"{}\"\nserver = \"server-1\"\nlogin = \"login\"\nmax_age = \"1m\"\non_stale = \"keep\"\n",
        node.url()
    );
    let domain = "[domain.lab]\nnull = \"deny\"\ncurve = { nats = \"fleet\", bucket = \"clients\" }\n\
                  plain = { nats = \"fleet\", bucket = \"clients\" }\n";
    fs::write(&path, format!("{nats}{domain}")).unwrap();
    let policy = PolicyFile::open(&path).unwrap();
    let auth = policy.authenticator();
    wait_until("she is accepted", || curve(auth, &alice) == b"200");
    let request: [&[u8]; 8] = [b"1.0", b"1", b"lab", b"::1", b"", b"PLAIN", b"alice", b"correct horse"];
    assert_eq!(auth.handle_zap_message(&request).unwrap()[2], b"200");
    let stores = policy.stores();
    assert_eq!((stores.len(), stores[0].1.entries, stores[0].1.behind_since), (1, 2, None), "one for both mechanisms");

    // Another table changes: the follower stays, and nobody is refused even for a moment.
    fs::write(&path, format!("{nats}{domain}[domain.shop]\nnull = \"allow\"\n")).unwrap();
    assert_eq!(policy.reload().unwrap().added, 1);
    assert_eq!(curve(auth, &alice), b"200");
    // A bad file changes nothing.
    for (bad, words) in [
        (
            format!("{nats}[domain.lab]\ncurve = {{ nats = \"other\", bucket = \"clients\" }}\n"),
            "8:18: names no cluster",
        ),
        (format!("{nats}[domain.lab]\ncurve = {{ nats = \"fleet\" }}\n"), "8:18: must name a bucket"),
        (format!("{nats}[domain.lab]\ncurve = {{ bucket = \"clients\" }}\n"), "8:9: must name one of"),
        (
            format!("{nats}[domain.lab]\nplain = {{ file = \"x\", nats = \"fleet\", bucket = \"clients\" }}\n"),
            "8:9: must name one of",
        ),
        (nats.replace("1m", "1ms") + domain, "age of pushed credentials"),
        (nats.replace("max_age", "heartbeat = \"1ms\"\nmax_age") + domain, "interval of heartbeats"),
        (nats.replace("max_age", "heartbeat = \"30s\"\nmax_age") + domain, "three heartbeats"),
        (nats.replace("\"login\"", "\"nowhere\"") + domain, "nowhere"),
        (nats.replace("nats://", "nats://admin:secret@") + domain, "user or password"),
    ] {
        fs::write(&path, &bad).unwrap();
        let error = policy.reload().unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("secret"), "{error}");
        assert_eq!(curve(auth, &alice), b"200");
    }
    // With a good file again, and another interval of heartbeats.
    for heartbeat in ["", "heartbeat = \"300ms\"\n"] {
        let written = dir.path().join("policy.toml.new");
        fs::write(&written, format!("{nats}{heartbeat}{domain}")).unwrap();
        fs::rename(&written, &path).unwrap();
        policy.reload().unwrap();
        assert_eq!(curve(auth, &alice), b"200");
    }
    writer.remove_key("lab", &alice).unwrap();
    wait_until("she is refused", || curve(auth, &alice) == b"400");
    drop(policy);

    // `problems` and `inspect` don't connect. (A connection of theirs would arrive before that of `open` below.)
    let [asked, unasked] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let with = |listener: &TcpListener| {
        let url = format!("nats://{}", listener.local_addr().unwrap());
        fs::write(&path, format!("{}{domain}", nats.replace(&node.url(), &url))).unwrap();
    };
    with(&unasked);
    assert!(PolicyFile::problems(&path).is_empty());
    let looked_at = PolicyFile::inspect(&path).unwrap();
    assert!(looked_at.stores().is_empty() && curve(looked_at.authenticator(), &alice) == b"300");
    with(&asked);
    let _followed = PolicyFile::open(&path).unwrap();
    asked.accept().unwrap();
    unasked.set_nonblocking(true).unwrap();
    assert_eq!(unasked.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// Changing a line of `[nats.fleet]` doesn't make anybody retry.
#[test]
fn a_cluster_whose_lines_change_goes_on_with_what_is_known() {
    let node = Node::start();
    let writer = bucket(&node.url(), "admin").writer().unwrap();
    let (alice, bob) = (key(), key());
    for key in [&alice, &bob] {
        writer.add_key("lab", key, &Metadata::default()).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    for login in ["login", "other"] {
        fs::write(dir.path().join(login), format!("admin={PASSWORD}\n")).unwrap();
    }
    let write = |server: &str, login: &str, max_age: &str, urls: &str| {
        let text = format!(
            "[nats.fleet]\nurls = \"{urls}\"\nserver = \"{server}\"\nlogin = \"{login}\"\nmax_age = \"{max_age}\"\n\
             [domain.lab]\nnull = \"deny\"\ncurve = {{ nats = \"fleet\", bucket = \"clients\" }}\n"
        );
        fs::write(&path, text).unwrap();
    };
    let url = node.url();
    write("server-1", "login", "1m", &url);
    let policy = PolicyFile::open(&path).unwrap();
    let auth = policy.authenticator();
    wait_until("she is accepted", || curve(auth, &alice) == b"200");
    let servers = || writer.servers("lab").unwrap();
    // With a longer or shorter `max_age`, the follower stays.
    for max_age in ["2m", "10s"] {
        write("server-1", "login", max_age, &url);
        assert_eq!(policy.reload().unwrap().changed, 1);
        assert_eq!(curve(auth, &alice), b"200");
    }
    write("server-1", "login", "2s", &url);
    let error = policy.reload().unwrap_err().to_string();
    assert!(error.contains("three heartbeats"), "{error}");
    // With another name, login or URL, a new follower takes over.
    for (server, login, urls) in [
        ("server-2", "login", url.clone()),
        ("server-2", "other", url.clone()),
        ("server-2", "other", format!("{url},{url}")),
    ] {
        write(server, login, "1m", &urls);
        assert_eq!(policy.reload().unwrap().changed, 1);
        for key in [&alice, &bob] {
            assert_eq!(curve(auth, key), b"200", "{server} {login} {urls}");
        }
    }
    writer.remove_key("lab", &alice).unwrap();
    wait_until("she is refused by the one that follows now", || curve(auth, &alice) == b"400");
    assert_eq!(curve(auth, &bob), b"200");
    wait_until("both have been heard of", || servers().len() == 2);
    // A server that isn't there: decisions go on until `max_age`, then nobody is accepted.
    write("server-2", "other", "3s", "nats://127.0.0.1:1");
    policy.reload().unwrap();
    wait_until("it is stale", || curve(auth, &bob) == b"300");
}
