//! `zmq-auth add`.

use std::fs;

use zmq_auth::{Certificate, KeyDirectory};

use crate::files::{OTHER, PUBLIC, SECRET, all, certificate, keygen, mode, names};
use crate::run::run;

/// A directory `clients`, and `alice.key` with its metadata beside it.
fn alice() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("clients")).unwrap();
    fs::write(dir.path().join("alice.key"), certificate(PUBLIC, &["name = Alice"])).unwrap();
    dir
}

#[test]
fn a_certificate_is_added_and_its_undo_is_said() {
    let dir = alice();
    let outcome = run(dir.path(), &["add", "clients", "alice.key"]).ok();
    assert!(outcome.starts_with(&format!("clients/alice.key: {PUBLIC}\n")), "{outcome}");
    assert!(outcome.ends_with("Undo: zmq-auth revoke clients alice\n"), "{outcome}");
    let added = dir.path().join("clients/alice.key");
    assert_eq!(mode(&added) & 0o133, 0);
    let certificate = Certificate::load(&added).unwrap();
    assert_eq!(
        (certificate.public_key().to_string().as_str(), certificate.metadata().get("name")),
        (PUBLIC, Some("Alice"))
    );
    assert_eq!(KeyDirectory::open(dir.path().join("clients")).unwrap().status().entries, 1);
    assert_eq!(names(&dir.path().join("clients")), ["alice.key"]);

    // The undo, as the output shows it.
    run(dir.path(), &["revoke", "clients", "alice"]).ok();
    assert_eq!(KeyDirectory::open(dir.path().join("clients")).unwrap().status().entries, 0);
}

#[test]
fn czmqs_name_and_a_given_one() {
    let dir = alice();
    fs::rename(dir.path().join("alice.key"), dir.path().join("alice")).unwrap();
    run(dir.path(), &["add", "clients", "alice"]).ok();
    let value = run(dir.path(), &["add", "clients", "alice", "--name", "b c.key", "--force", "--json"]).json();
    let expected = serde_json::json!({
        "file": "clients/b c.key", "public_key": PUBLIC, "state": "valid", "replaced": null, "same_key": ["alice.key"],
    });
    assert_eq!(value, expected);
    assert_eq!(names(&dir.path().join("clients")), ["alice.key", "b c.key"]);
}

#[test]
fn refused_files_change_nothing() {
    let dir = alice();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("secret.key", &format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\"\n"));
    write("bad.key", "curve\n    public-key = \"short\"\n");
    write("time.key", &certificate(OTHER, &["not-after = tomorrow"]));
    write(
        "turned.key",
        &certificate(OTHER, &["not-before = 2027-01-01T00:00:00Z", "not-after = 2026-01-01T00:00:00Z"]),
    );
    let before = all(dir.path());
    for (arguments, text) in [
        (&["secret.key"][..], "secret.key contains a secret key, which a server must not have"),
        (&["secret.key", "--force"], "--to pyzmq -o NAME.key"),
        (&["bad.key"], "bad.key:2: "),
        (&["time.key"], "time.key: not-after is not an RFC 3339 time"),
        (&["turned.key"], "not-after is before not-before"),
        (&["missing.key"], "missing.key: cannot open"),
        (&["alice.key", "--name", ".hidden"], "starts with a dot"),
        (&["alice.key", "--name", "../alice"], "contains a path separator"),
    ] {
        let outcome = run(dir.path(), &[&["add", "clients"], arguments].concat());
        assert!(outcome.code > 0 && outcome.stdout.is_empty(), "{arguments:?}");
        assert!(outcome.stderr.contains(text), "{arguments:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains(SECRET));
        assert_eq!(all(dir.path()), before);
    }
    let outcome = run(dir.path(), &["add", "nowhere", "alice.key"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("mkdir nowhere"), "{}", outcome.stderr);
}

#[test]
fn a_name_or_key_that_is_there_needs_force() {
    let dir = alice();
    let clients = dir.path().join("clients");
    let old = certificate(OTHER, &["name = Old", "# a comment"]);
    fs::write(clients.join("alice.key"), &old).unwrap();
    fs::write(clients.join("other.key"), certificate(PUBLIC, &[])).unwrap();
    let before = all(dir.path());
    let outcome = run(dir.path(), &["add", "clients", "alice.key"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("clients/alice.key: exists already"), "{}", outcome.stderr);
    let outcome = run(dir.path(), &["add", "clients", "alice.key", "--name", "new"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("the directory already has this key, as other.key"),
        "{}",
        outcome.stderr
    );
    assert_eq!(all(dir.path()), before);

    let outcome = run(dir.path(), &["add", "clients", "alice.key", "--force"]).ok();
    assert!(outcome.contains("The directory also has this key as other.key."), "{outcome}");
    assert!(outcome.ends_with("Undo: mv clients/revoked/alice.key clients/alice.key\n"), "{outcome}");
    assert_eq!(fs::read_to_string(clients.join("revoked/alice.key")).unwrap(), old);
    assert_eq!(Certificate::load(clients.join("alice.key")).unwrap().public_key().to_string(), PUBLIC);
    // The kept copy isn't read.
    assert_eq!(KeyDirectory::open(&clients).unwrap().status().entries, 1);
    // A second copy doesn't replace it.
    run(dir.path(), &["add", "clients", "alice.key", "--force"]).ok();
    assert_eq!(names(&clients.join("revoked")), ["alice.key", "alice.key.2"]);
    assert_eq!(fs::read_to_string(clients.join("revoked/alice.key")).unwrap(), old);
}

#[test]
fn what_keygen_makes_can_be_added() {
    let dir = alice();
    let key = keygen(dir.path(), &["bob", "-m", "name=Bob", "--not-after", "30d"]);
    assert!(run(dir.path(), &["add", "clients", "bob.key"]).ok().contains(&key));
    let added = Certificate::load(dir.path().join("clients/bob.key")).unwrap();
    assert_eq!(added.metadata(), Certificate::load(dir.path().join("bob.key")).unwrap().metadata());
}

#[test]
fn the_undo_of_a_second_name_leaves_the_first() {
    let dir = alice();
    run(dir.path(), &["add", "clients", "alice.key"]).ok();
    let before = all(dir.path());
    let outcome = run(dir.path(), &["add", "clients", "alice.key", "--name", "second", "--force"]).ok();
    let undo = outcome.lines().last().unwrap().strip_prefix("Undo: ").unwrap();
    assert_eq!(undo, "rm clients/second.key");
    assert!(std::process::Command::new("sh").args(["-c", undo]).current_dir(dir.path()).status().unwrap().success());
    assert_eq!(all(dir.path()), before);
}

#[test]
fn the_state_of_a_certificate_is_said() {
    let dir = alice();
    fs::write(dir.path().join("old.key"), certificate(OTHER, &["not-after = 2020-01-01T00:00:00Z"])).unwrap();
    let outcome = run(dir.path(), &["add", "clients", "old.key"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("old.key: expired 2020-01-01T00:00:00Z"),
        "{}",
        outcome.stderr
    );
    assert!(names(&dir.path().join("clients")).is_empty());
    assert!(run(dir.path(), &["add", "clients", "old.key", "--force"]).ok().contains("\nIt is expired 2020-01-01"));
    fs::write(dir.path().join("new.key"), certificate(PUBLIC, &["not-before = 2199-01-01T00:00:00Z"])).unwrap();
    let text = run(dir.path(), &["add", "clients", "new.key"]).ok();
    assert!(text.contains("\nIt is not valid yet: from 2199-01-01T00:00:00Z.\n"), "{text}");
    assert!(!text.contains("accepts it"), "{text}");
}
