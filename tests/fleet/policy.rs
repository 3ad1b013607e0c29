//! A policy file whose keys and users are in a bucket.

use std::fs;

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

    // Another table changes: the follower is the same, and nobody is refused for a moment.
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
        (nats.replace("\"login\"", "\"nowhere\"") + domain, "nowhere"),
        (nats.replace("nats://", "nats://admin:secret@") + domain, "user or password"),
    ] {
        fs::write(&path, &bad).unwrap();
        let error = policy.reload().unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("secret"), "{error}");
        assert_eq!(curve(auth, &alice), b"200");
    }
    writer.remove_key("lab", &alice).unwrap();
    wait_until("she is refused", || curve(auth, &alice) == b"400");
}
