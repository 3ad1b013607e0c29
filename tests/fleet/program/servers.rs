//! Servers that follow: they refuse a key once `revoke` says so, and `status` lists them.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::{Place, strings};
use crate::run::run;

#[test]
fn a_key_that_is_revoked_is_refused_by_a_listening_server_when_the_command_has_returned() {
    let place = Place::new();
    let alice = place.keygen(&["alice"]);
    place.keygen(&["bob"]);
    place.run("add", &["alice.key"]).ok();
    place.run("add", &["bob.key"]).ok();
    let server = place.listen();
    crate::wait_until("she is accepted", || place.ping(&server, "alice") == 0);
    let revoked = place.json("revoke", &["alice", "--wait", "40s"], 0);
    assert_eq!(revoked["public_key"], *alice);
    assert_eq!(revoked["servers"][0]["name"], "server-1");
    assert_eq!(revoked["servers"][0]["refuses"], true);
    // Without waiting: the server has reported it.
    assert_eq!((place.ping(&server, "alice"), place.ping(&server, "bob")), (3, 0));
}

#[test]
fn status_tells_who_is_in_contact_who_is_not_and_who_is_missing() {
    let place = Place::new();
    place.keygen(&["alice"]);
    let outcome = place.run("status", &[]);
    assert!(outcome.code == 0 && outcome.stderr.contains("no server follows"), "{}", outcome.stderr);
    place.run("add", &["alice.key"]).ok();
    let server = place.listen();
    crate::wait_until("it has the key", || place.json("status", &[], 0)["servers"][0]["keys"] == 1);
    let status = place.json("status", &["--expect", "server-1", "--expect", "server-2"], 1);
    assert_eq!(strings(&status["missing"]), ["server-2"]);
    assert_eq!((&status["servers"][0]["behind"], &status["servers"][0]["is_stale"]), (&0.into(), &false.into()));
    // The server is gone when the key is revoked.
    drop(server);
    let revoked = place.json("revoke", &["alice", "--wait", "1s"], 1);
    assert_eq!(revoked["servers"][0]["refuses"], false);
    crate::wait_until("it is without contact", || place.run("status", &["--stale-after", "2s"]).code == 1);
    let status = place.json("status", &["--stale-after", "2s"], 1);
    assert_eq!((&status["servers"][0]["behind"], &status["servers"][0]["is_stale"]), (&1.into(), &true.into()));
    let text = place.run("status", &["--stale-after", "2s"]).stdout;
    assert!(text.contains("1 change behind") && text.contains("without contact"), "{text}");
    // It is gone for good.
    assert_eq!(place.json("status", &["--forget", "server-1"], 0)["servers"], serde_json::json!([]));
    assert!(place.refused("status", &["--forget", "server-1"]).contains("has no server server-1"));
}

#[test]
fn explain_and_lint_take_a_policy_with_a_bucket_and_say_what_they_cannot_tell() {
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
        assert_eq!((&explained["source"], &explained["listed"]), (&"a bucket of NATS".into(), &Value::Null));
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
    // Problems are reported with their position.
    let text = std::fs::read_to_string(place.path("policy.toml")).unwrap();
    std::fs::write(place.path("policy.toml"), text.replacen("nats = \"fleet\"", "nats = \"other\"", 1)).unwrap();
    let lint = run(directory, &["lint", "policy.toml"]);
    assert!(lint.code == 1 && lint.stdout.contains("names no cluster"), "{}", lint.stdout);
}
