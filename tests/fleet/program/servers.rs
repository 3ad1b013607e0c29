//! Servers that follow a bucket: they refuse a key once `revoke` reports that they do, and `status` lists them.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Place, strings};
use crate::run::{program, run};
use crate::{BUCKET, DOMAIN, raw};

#[test]
fn a_listening_server_refuses_a_revoked_key_by_the_time_the_command_returns() {
    let place = Place::new();
    let alice = place.keygen(&["alice"]);
    place.keygen(&["bob"]);
    place.run("add", &["alice.key"]).ok();
    place.run("add", &["bob.key"]).ok();
    let server = place.listen();
    crate::wait_until("alice is accepted", || place.ping(&server, "alice") == 0);
    let revoked = place.json("revoke", &["alice", "--wait", "40s"], 0);
    assert_eq!(revoked["public_key"], *alice);
    assert_eq!(revoked["servers"][0]["name"], "server-1");
    assert_eq!(revoked["servers"][0]["refuses"], true);
    // No need to wait: the server has already reported that it refuses the key.
    assert_eq!((place.ping(&server, "alice"), place.ping(&server, "bob")), (3, 0));
}

#[test]
fn status_shows_which_servers_are_in_contact_stale_or_missing() {
    let place = Place::new();
    place.keygen(&["alice"]);
    let outcome = place.run("status", &[]);
    assert!(outcome.code == 0 && outcome.stderr.contains("no server follows"), "{}", outcome.stderr);
    place.run("add", &["alice.key"]).ok();
    let server = place.listen();
    crate::wait_until("server-1 has the key", || place.json("status", &[], 0)["servers"][0]["keys"] == 1);
    let status = place.json("status", &["--expect", "server-1", "--expect", "server-2"], 1);
    assert_eq!(strings(&status["missing"]), ["server-2"]);
    assert_eq!((&status["servers"][0]["behind"], &status["servers"][0]["is_stale"]), (&0.into(), &false.into()));
    // The server stops before the key is revoked.
    drop(server);
    let revoked = place.json("revoke", &["alice", "--wait", "1s"], 1);
    assert_eq!(revoked["servers"][0]["refuses"], false);
    crate::wait_until("server-1 is stale", || place.run("status", &["--stale-after", "2s"]).code == 1);
    let status = place.json("status", &["--stale-after", "2s"], 1);
    assert_eq!((&status["servers"][0]["behind"], &status["servers"][0]["is_stale"]), (&1.into(), &true.into()));
    let text = place.run("status", &["--stale-after", "2s"]).stdout;
    assert!(text.contains("1 change behind") && text.contains("no contact"), "{text}");
    // `--forget` removes it from the list, once.
    assert_eq!(place.json("status", &["--forget", "server-1"], 0)["servers"], serde_json::json!([]));
    assert!(place.refused("status", &["--forget", "server-1"]).contains("has no server server-1"));
}

/// Ends a thread that goes on as long as this flag is set.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[test]
fn a_revocation_is_reported_even_if_nats_fails_during_the_wait_for_servers() {
    let mut place = Place::new();
    place.keygen(&["alice"]);
    place.run("add", &["alice.key"]).ok();
    let server = place.listen();
    crate::wait_until("server-1 has the key", || place.json("status", &[], 0)["servers"][0]["keys"] == 1);
    // Simulates a server that is in contact but never catches up, by repeating the last heartbeat of a real one.
    let url = place.node.url();
    let name =
        |server: &[u8], slot: u8| format!("server.{}.{}.{slot}", raw::name(DOMAIN.as_bytes()), raw::name(server));
    let slots = [name(b"server-1", 0), name(b"server-1", 1)];
    let mut heartbeat = None;
    crate::wait_until("server-1 has written that it is in contact", || {
        let values = raw::run(async {
            let store = raw::store(&url).await;
            [store.get(&slots[0]).await.unwrap(), store.get(&slots[1]).await.unwrap()]
        });
        let texts = values.into_iter().flatten().map(|value| String::from_utf8(value.to_vec()).unwrap());
        heartbeat = texts.into_iter().find(|text| {
            let value: Value = serde_json::from_str(text).unwrap();
            value["sequence"] != 0 && value["proven"].is_u64()
        });
        heartbeat.is_some()
    });
    let heartbeat = heartbeat.unwrap();
    drop(server);
    place.run("status", &["--forget", "server-1"]).ok();
    let keep_beating = AtomicBool::new(true);
    let (outcome, waiting) = thread::scope(|scope| {
        // Also when a check in this scope fails, which would wait for the thread for ever.
        let stop = Stop(&keep_beating);
        let beating = scope.spawn(|| {
            while keep_beating.load(Ordering::Relaxed) {
                raw::put(&url, &name(b"server-2", 0), &heartbeat);
                thread::park_timeout(Duration::from_millis(200));
            }
        });
        crate::wait_until("server-2 is listed", || place.run("status", &["--expect", "server-2"]).code == 0);
        let mut command = Command::new(program());
        command.args(["revoke", "--nats", &url, "--bucket", BUCKET, "--domain", DOMAIN, "--login", "admin.login"]);
        command.args(["alice", "--json", "--wait", "10m"]).current_dir(place.directory.path());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut waiting = String::new();
        errors.read_line(&mut waiting).unwrap();
        // It has removed the key and is waiting: its first line says so, which is checked below.
        drop(stop);
        beating.join().unwrap();
        place.node.kill();
        let mut outcome = child.wait_with_output().unwrap();
        errors.read_to_end(&mut outcome.stderr).unwrap();
        (outcome, waiting)
    });
    assert!(waiting.starts_with("removed: ") && waiting.contains("waiting for the servers"), "{waiting}");
    let said = String::from_utf8(outcome.stderr).unwrap();
    assert_eq!(outcome.status.code(), Some(1), "{said}");
    let revoked: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!((&revoked["action"], &revoked["servers"][0]["name"]), (&"revoked".into(), &"server-2".into()));
    assert_eq!(revoked["servers"][0]["refuses"], false);
    assert!(revoked["problem"].as_str().unwrap().contains("NATS"), "{revoked}");
    assert!(revoked["undo"].as_str().unwrap().contains("--revision "), "{revoked}");
    assert!(said.contains("the key is removed, but which servers already refuse it is unknown: "), "{said}");
    // The report was right: when NATS is back, the key is gone from the bucket.
    place.node.run();
    assert_eq!(place.json("ls", &[], 0)["keys"], serde_json::json!([]));
}

#[test]
fn explain_and_lint_take_a_policy_with_a_bucket() {
    let place = Place::new();
    place.policy();
    place.keygen(&["alice"]);
    let directory = place.directory.path();
    let explain = |client: &[&str]| {
        let request = ["explain", "policy.toml", "--domain", "lab", "--address", "127.0.0.1", "--json"];
        let outcome = run(directory, &[&request[..], client].concat());
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        outcome.json()
    };
    for client in [&["--curve", "alice.key"], &["--plain", "alice"]] {
        let explained = explain(client);
        assert_eq!(explained["outcome"], "depends on the bucket", "{explained}");
        assert_eq!((&explained["source"], &explained["listed"]), (&"a NATS bucket".into(), &Value::Null));
    }
    run(directory, &["lint", "policy.toml"]).ok();
    let login = std::fs::metadata(place.path("server-1.login")).unwrap().permissions();
    std::fs::set_permissions(place.path("server-1.login"), PermissionsExt::from_mode(0o640)).unwrap();
    let lint = run(directory, &["lint", "policy.toml"]);
    assert!(
        lint.code == 1 && lint.stdout.contains("server-1.login: error: users other than its owner"),
        "{}",
        lint.stdout
    );
    std::fs::set_permissions(place.path("server-1.login"), login).unwrap();
    // A cluster that the policy doesn't define is reported.
    let text = std::fs::read_to_string(place.path("policy.toml")).unwrap();
    std::fs::write(place.path("policy.toml"), text.replacen("nats = \"fleet\"", "nats = \"other\"", 1)).unwrap();
    let lint = run(directory, &["lint", "policy.toml"]);
    assert!(lint.code == 1 && lint.stdout.contains("names no cluster"), "{}", lint.stdout);
}
