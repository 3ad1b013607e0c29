//! `zmq-auth revoke`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use zmq_auth::KeyDirectory;

use crate::files::{OTHER, PUBLIC, all, certificate, keygen, names};
use crate::run::run;

/// A directory `clients` with alice's key in two files, a hard link to one of them, and another client's key.
fn clients() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let clients = dir.path().join("clients");
    fs::create_dir(&clients).unwrap();
    fs::write(clients.join("alice.key"), certificate(PUBLIC, &["name = Alice"])).unwrap();
    fs::write(clients.join("alice laptop.key"), certificate(PUBLIC, &[])).unwrap();
    fs::hard_link(clients.join("alice.key"), clients.join("a.key")).unwrap();
    fs::write(clients.join("bob.key"), certificate(OTHER, &[])).unwrap();
    dir
}

#[test]
fn no_file_has_the_key_any_more_however_it_is_named() {
    for name in ["alice", "alice.key", "alice laptop", PUBLIC] {
        let dir = clients();
        let store = KeyDirectory::open(dir.path().join("clients")).unwrap();
        let outcome = run(dir.path(), &["revoke", "clients", name]).ok();
        assert!(outcome.starts_with(&format!("revoked: {PUBLIC}\n")), "{outcome}");
        assert!(outcome.contains("is_still_allowed") && outcome.contains("Connection::disconnect"), "{outcome}");
        // The server notices.
        assert_eq!((store.status().entries, store.reload().unwrap().removed, store.status().entries), (2, 3, 1));
        let expected = ["bob.key", "revoked/a.key", "revoked/alice laptop.key", "revoked/alice.key"];
        assert_eq!(names(&dir.path().join("clients")), expected);
    }
}

#[test]
fn the_undo_that_is_printed_brings_all_back() {
    let dir = clients();
    let before = all(dir.path());
    let outcome = run(dir.path(), &["revoke", "clients", "alice"]).ok();
    let undo: Vec<_> = outcome.lines().filter_map(|line| line.strip_prefix("Undo: ")).collect();
    assert_eq!(undo.len(), 3);
    assert!(undo.contains(&"mv 'clients/revoked/alice laptop.key' 'clients/alice laptop.key'"), "{outcome}");
    assert!(Command::new("sh").args(["-ec", &undo.join("\n")]).current_dir(dir.path()).status().unwrap().success());
    assert_eq!(all(dir.path()), before);
}

#[test]
fn json_says_what_was_moved() {
    let dir = clients();
    let outcome = run(dir.path(), &["revoke", "clients", "bob", "--json"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let expected = serde_json::json!({
        "public_key": OTHER,
        "moved": [{"from": "clients/bob.key", "to": "clients/revoked/bob.key"}],
        "unreadable": [],
    });
    assert_eq!(outcome.json(), expected);
    // Another bob later doesn't replace the first one in `revoked`.
    fs::write(dir.path().join("clients/bob.key"), certificate(OTHER, &["name = Second"])).unwrap();
    let moved = run(dir.path(), &["revoke", "clients", "bob", "--json"]).json();
    assert_eq!(moved["moved"][0]["to"], "clients/revoked/bob.key.2");
}

#[test]
fn an_unknown_name_changes_nothing() {
    let dir = clients();
    let before = all(dir.path());
    let unknown = zmq_auth::PublicKey::from([7; 32]).to_string();
    for name in ["mallory", "", ".", "../clients/alice", "ALICE", &unknown] {
        let outcome = run(dir.path(), &["revoke", "clients", name]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{name}");
        assert!(outcome.stderr.contains("zmq-auth ls clients"), "{}", outcome.stderr);
    }
    assert_eq!(run(dir.path(), &["revoke", "nowhere", "alice"]).code, 1);
    assert_eq!(all(dir.path()), before);
}

#[test]
fn files_that_can_not_be_read_are_said_and_can_be_moved() {
    let dir = clients();
    fs::write(dir.path().join("clients/half.key"), "curve\n    public-k").unwrap();
    let outcome = run(dir.path(), &["revoke", "clients", "bob"]);
    assert_eq!(outcome.code, 1, "{}", outcome.stdout);
    assert!(
        outcome.stderr.contains("may still accept the keys") && outcome.stderr.contains("half.key"),
        "{}",
        outcome.stderr
    );
    assert!(!dir.path().join("clients/bob.key").exists());
    let outcome = run(dir.path(), &["revoke", "clients", "half"]);
    assert!(outcome.code == 1 && outcome.stdout.contains("its key can't be read"), "{}", outcome.stdout);
    assert!(dir.path().join("clients/revoked/half.key").exists());
}

#[test]
fn where_it_can_not_be_moved_all_stays() {
    let dir = clients();
    fs::write(dir.path().join("clients/revoked"), "a file in the way").unwrap();
    let before = all(dir.path());
    let outcome = run(dir.path(), &["revoke", "clients", "alice"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("Nothing was changed"), "{}", outcome.stderr);
    assert_eq!(all(dir.path()), before);
}

#[test]
fn where_one_of_several_can_not_be_moved_all_stay() {
    let dir = clients();
    // Its name in `revoked` is taken, and the next name would be too long.
    let long = format!("{}.key", "z".repeat(251));
    fs::write(dir.path().join("clients").join(&long), certificate(PUBLIC, &[])).unwrap();
    fs::create_dir(dir.path().join("clients/revoked")).unwrap();
    fs::write(dir.path().join("clients/revoked").join(&long), "an older one").unwrap();
    let before = all(dir.path());
    let outcome = run(dir.path(), &["revoke", "clients", "alice"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("Nothing was changed"), "{}", outcome.stderr);
    assert_eq!(all(dir.path()), before);
}

#[test]
fn a_key_may_begin_with_a_dash() {
    let dir = clients();
    let keys = (0..=255).map(|byte| zmq_auth::PublicKey::from([byte; 32]).to_string());
    let key = keys.into_iter().find(|key| key.starts_with('-')).unwrap();
    fs::write(dir.path().join("clients/dash.key"), certificate(&key, &[])).unwrap();
    assert!(run(dir.path(), &["revoke", "clients", &key]).ok().contains("clients/dash.key is now"));
}

#[test]
fn a_name_that_is_not_utf_8_is_moved_and_reported() {
    let dir = clients();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9\n.key");
    fs::rename(dir.path().join("clients/bob.key"), dir.path().join("clients").join(name)).unwrap();
    assert!(run(dir.path(), &["ls", "clients"]).ok().contains("caf\u{fffd}\\n.key"));
    let outcome = run(dir.path(), &["revoke", "clients", OTHER, "--json"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(outcome.json()["moved"][0]["to"], "clients/revoked/caf\u{fffd}\n.key");
    assert!(dir.path().join("clients/revoked").join(name).exists());
}

/// Another program holds the lock for longer than `revoke` waits.
#[test]
fn a_lock_does_not_delay_a_revocation_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let clients = dir.path().join("clients");
    fs::create_dir(&clients).unwrap();
    keygen(dir.path(), &["alice", "-o", "clients"]);
    keygen(dir.path(), &["bob"]);
    let lock = fs::File::open(&clients).unwrap();
    lock.lock().unwrap();
    let begin = std::time::Instant::now();
    let add = std::thread::scope(|scope| {
        let add = scope.spawn(|| run(dir.path(), &["add", "clients", "bob.key"]));
        let revoke = run(dir.path(), &["revoke", "clients", "alice"]);
        assert_eq!(revoke.code, 0, "{}", revoke.stderr);
        assert!(revoke.stderr.contains("is revoked without waiting any longer"), "{}", revoke.stderr);
        add.join().unwrap()
    });
    assert!(
        add.code == 1 && add.stderr.contains("locked by another program (fuser clients shows which)"),
        "{}",
        add.stderr
    );
    assert!(begin.elapsed() < std::time::Duration::from_secs(60));
    drop(lock);
    assert!(!clients.join("alice.key").exists() && !clients.join("bob.key").exists());
}
