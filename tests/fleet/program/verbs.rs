//! The verbs for keys and users, and the commands that undo them.

use std::process::{Command, Output};

use zmq_auth::BucketEntry;

use super::Place;
use crate::run::{program, run};
use crate::{DOMAIN, bucket};

/// Runs the command in the line that begins with `Undo: `, in a POSIX shell.
#[track_caller]
fn run_undo(place: &Place, printed: &str) -> Output {
    let command = printed.lines().find_map(|line| line.strip_prefix("Undo: ")).expect(printed);
    assert!(!command.contains(char::is_control), "{command:?}");
    let search = format!("{}:{}", program().parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-ec", command]).current_dir(place.directory.path()).env("PATH", search).output().unwrap()
}

#[track_caller]
fn undo(place: &Place, printed: &str) {
    let output = run_undo(place, printed);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_key_is_added_listed_changed_and_revoked_and_each_of_it_can_be_undone() {
    let place = Place::new();
    let alice = place.keygen(&["alice", "-m", "team=blue green", "--not-after", "2999-01-01"]);
    let added = place.run("add", &["alice.key"]).ok();
    assert!(added.contains("added in bucket clients, domain lab (revision 1)"), "{added}");
    let before = place.json("ls", &[], 0);
    assert_eq!(before["keys"][0]["public_key"], *alice);
    assert_eq!(before["keys"][0]["state"], "valid");
    assert_eq!(
        before["keys"][0]["metadata"],
        serde_json::json!({ "team": "blue green", "not-after": "2999-01-01T00:00:00Z", "name": "alice" })
    );
    // Adding it again changes nothing.
    let again = place.json("add", &["alice.key"], 0);
    assert_eq!((&again["action"], &again["revision"]), (&"unchanged".into(), &1.into()));

    undo(&place, &added);
    assert_eq!(place.json("ls", &[], 0)["keys"], serde_json::json!([]));
    // Somebody revoked it: that isn't undone unnoticed.
    let error = place.refused("add", &["alice.key"]);
    assert!(error.contains("revoked or deleted at 20") && error.contains("--force"), "{error}");
    place.run("add", &["--force", "alice.key"]).ok();

    // Another name is a change, which needs --force and can be undone.
    let error = place.refused("add", &["alice.key", "--name", "alice o'hara"]);
    assert!(error.contains("team=blue green") && error.contains("nothing was changed"), "{error}");
    let changed = place.run("add", &["alice.key", "--name", "alice o'hara", "--force"]).ok();
    assert_eq!(place.json("ls", &[], 0)["keys"][0]["metadata"]["name"], "alice o'hara");
    undo(&place, &changed);
    assert_eq!(place.json("ls", &[], 0)["keys"][0]["metadata"], before["keys"][0]["metadata"]);

    // By its name, its key or its file.
    let revoked = place.run("revoke", &["alice"]).ok();
    assert!(revoked.contains(&format!("revoked: {alice} in bucket clients")), "{revoked}");
    undo(&place, &revoked);
    assert_eq!(place.json("ls", &[], 0)["keys"][0]["metadata"], before["keys"][0]["metadata"]);
    assert_eq!(place.json("revoke", &[&alice], 0)["action"], "revoked");
    assert_eq!(place.json("revoke", &["alice.key"], 0)["action"], "unchanged");
    let error = place.refused("revoke", &["nobody"]);
    assert!(error.contains("has no key with the name nobody"), "{error}");
    assert_eq!(place.run("ls", &["--key", &alice]).code, 1);
}

#[test]
fn an_undo_changes_nothing_after_a_later_change() {
    let place = Place::new();
    let alice = place.keygen(&["alice"]);
    let added = place.run("add", &["alice.key"]).ok();
    let renamed = place.run("add", &["alice.key", "--name", "second", "--force"]).ok();
    place.run("add", &["alice.key", "--name", "third", "--force"]).ok();
    let refused = |printed: &str| {
        let before = place.json("ls", &[], 0);
        let output = run_undo(&place, printed);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{said}");
        assert!(said.contains("has changed since revision") && said.contains("nothing was changed"), "{said}");
        assert_eq!(place.json("ls", &[], 0), before);
    };
    // The first would remove the key, the second would write its first name.
    refused(&added);
    refused(&renamed);
    let revoked = place.run("revoke", &[&alice]).ok();
    undo(&place, &revoked);
    assert_eq!(place.json("ls", &[], 0)["keys"][0]["metadata"]["name"], "third");
    // Somebody revokes it for good, and the same undo is repeated.
    place.run("revoke", &[&alice]).ok();
    refused(&revoked);
    refused(&added);
    let writer = bucket(&place.node.url(), "admin").writer().unwrap();
    let last = writer.last_change_of_key(DOMAIN, &alice.parse().unwrap()).unwrap().unwrap();
    assert_eq!(last.entry, None);
    // The library's call, too.
    let conflict = writer.remove_key_at(DOMAIN, &alice.parse().unwrap(), last.revision - 1);
    assert!(matches!(conflict, Err(zmq_auth::Error::Conflict { .. })), "{conflict:?}");
}

#[test]
fn an_undo_is_right_for_every_shell_whatever_the_names_are() {
    let place = Place::new();
    place.keygen(&["alice"]);
    let key = zmq_auth::PublicKey::load(place.path("alice.key")).unwrap().to_string();
    let name = r#"it's "Alice" $HOME `id` \\ *"#;
    for domain in ["it's a lab", "-lab", "l\u{e4}b \u{1b}[31m\u{202e}%s\n'\\"] {
        let options = ["--nats", &place.node.url(), "--bucket", "clients", "--login", "admin.login"];
        let domain = format!("--domain={domain}");
        let run = |verb: &str, rest: &[&str]| {
            run(place.directory.path(), &[&[verb], &options[..], &[&domain], rest].concat())
        };
        let keys = || run("ls", &["--json"]).json()["keys"].clone();
        let key = format!("--key={key}");
        run("add", &[&key, "-m", &format!("name={name}")]).ok();
        let before = keys();
        assert_eq!(before[0]["metadata"]["name"], name);
        let changed = run("add", &[&key, "--force"]).ok();
        undo(&place, &changed);
        assert_eq!(keys()[0]["metadata"], before[0]["metadata"], "{changed}");
        let revoked = run("revoke", &["alice.key"]).ok();
        let added = run("add", &[&key, "--force"]).ok();
        undo(&place, &added);
        assert_eq!(keys(), serde_json::json!([]), "{added}");
        assert!(run_undo(&place, &revoked).status.code() == Some(1), "{revoked}");
    }
}

#[test]
fn two_keys_of_one_name_are_told_apart_before_one_is_revoked() {
    let place = Place::new();
    let keys = ["old", "new"].map(|name| {
        let key = place.keygen(&[name]);
        place.run("add", &[&format!("{name}.key"), "--name", "alice"]).ok();
        key
    });
    let error = place.refused("revoke", &["alice"]);
    assert!(keys.iter().all(|key| error.contains(key)) && error.contains("2 keys have the name alice"), "{error}");
    place.run("revoke", &[&keys[0]]).ok();
    let left = place.json("ls", &[], 0);
    assert_eq!((left["keys"].as_array().unwrap().len(), &left["keys"][0]["public_key"]), (1, &(*keys[1]).into()));
    place.run("revoke", &["alice"]).ok();
}

#[test]
fn what_no_server_accepts_is_not_added() {
    let place = Place::new();
    place.keygen(&["alice"]);
    place.keygen(&["old", "--not-after", "2020-01-01"]);
    let error = place.refused("add", &["alice.key_secret"]);
    assert!(error.contains("secret key"), "{error}");
    let error = place.refused("add", &["old.key"]);
    assert!(error.contains("expired"), "{error}");
    assert_eq!(place.json("ls", &[], 0)["keys"], serde_json::json!([]));
}

#[test]
fn a_user_is_set_verified_and_deleted() {
    let place = Place::new();
    place.secret_file("first", "correct horse\n");
    place.secret_file("second", "battery staple\n");
    let set = |file: &str| place.json("passwd", &["alice", "--password-file", file], 0);
    let verify = |file: &str| place.run("passwd", &["alice", "--verify", "--password-file", file]).code;
    assert_eq!((set("first")["action"].as_str(), verify("first"), verify("second")), (Some("added"), 0, 1));
    assert_eq!((set("second")["action"].as_str(), verify("first"), verify("second")), (Some("changed"), 1, 0));
    // The bucket contains a hash.
    let entries = bucket(&place.node.url(), "admin").writer().unwrap().entries(DOMAIN).unwrap();
    let [BucketEntry::User { name, hash, .. }] = &entries[..] else { panic!("{entries:?}") };
    assert!(name == "alice" && hash.as_bytes().starts_with(b"$argon2id$"));
    assert!(!format!("{entries:?}").contains("argon2id"), "no hash is printed: {entries:?}");
    assert!(!place.run("ls", &[]).ok().contains("argon2id"));
    assert_eq!(place.json("passwd", &["alice", "--delete"], 0)["action"], "deleted");
    assert_eq!(verify("second"), 1);
    let error = place.refused("passwd", &["alice", "--delete"]);
    assert!(error.contains("has no user alice"), "{error}");
}

#[test]
fn a_directory_and_a_bucket_exclude_each_other() {
    let place = Place::new();
    place.keygen(&["alice"]);
    for (verb, arguments) in [
        ("add", &["clients", "alice.key"] as &[_]),
        ("revoke", &["clients", "alice"]),
        ("ls", &["clients"]),
        ("passwd", &["passwords", "alice", "--delete"]),
    ] {
        let outcome = place.run(verb, arguments);
        assert!(outcome.code == 2 && outcome.stdout.is_empty(), "{verb}: {}", outcome.stderr);
        let says = ["give only one of them", "cannot be used with"];
        assert!(says.iter().any(|says| outcome.stderr.contains(says)), "{verb}: {}", outcome.stderr);
        // Neither a directory nor a bucket.
        let outcome = run(place.directory.path(), &[&[verb], &arguments[1..]].concat());
        assert_eq!(outcome.code, 2, "{verb}: {}", outcome.stderr);
        // A bucket's options without a bucket.
        let outcome = run(place.directory.path(), &[&[verb], arguments, &["--domain", "lab"]].concat());
        assert!(outcome.code == 2 && outcome.stderr.contains("--bucket"), "{verb}: {}", outcome.stderr);
    }
    assert_eq!(place.json("ls", &[], 0)["keys"], serde_json::json!([]));
}
