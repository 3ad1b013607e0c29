//! Two administrators at once: neither undoes the other's changes unnoticed.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;

use rexpect::session::{Options, spawn_with_options};
use zmq_auth::Metadata;

use super::Place;
use super::relay::Relay;
use crate::run::program;
use crate::{BUCKET, DOMAIN, bucket};

#[test]
fn of_many_who_add_a_key_at_once_one_succeeds_and_the_others_are_told() {
    let place = Place::new();
    place.keygen(&["alice"]);
    let names: Vec<String> = (0..8).map(|number| format!("by-{number}")).collect();
    let admin = place.admin();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let add = |name| admin.run("add", &["alice.key", "--name", name]);
        let threads: Vec<_> = names.iter().map(|name| scope.spawn(move || add(name))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let there = place.json("ls", &[], 0)["keys"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    for (name, outcome) in names.iter().zip(outcomes) {
        if *name == there {
            assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        } else {
            assert_eq!(outcome.code, 1, "{name}: {}", outcome.stdout);
            let says = outcome.stderr.contains(&format!("with name={there}"))
                && outcome.stderr.contains("nothing was changed");
            assert!(says, "{name}: {}", outcome.stderr);
        }
    }
}

#[test]
fn what_happens_while_a_password_is_typed_is_not_undone() {
    let place = Place::new();
    place.secret_file("others", "battery staple\n");
    place.run("passwd", &["alice", "--password-file", "others"]).ok();
    for (others, says) in [
        (&["alice", "--password-file", "others"] as &[_], "it was written at 20"),
        (&["alice", "--delete"], "it was revoked or deleted at 20"),
    ] {
        let mut command = Command::new(program());
        command.args(["passwd", "--nats", &place.node.url(), "--bucket", BUCKET, "--domain", DOMAIN]);
        command.args(["--login", "admin.login", "alice"]).current_dir(place.directory.path());
        let options = Options { timeout_ms: Some(60_000), ..Options::default() };
        let mut session = spawn_with_options(command, options).unwrap();
        session.exp_string("New password for alice: ").unwrap();
        place.run("passwd", others).ok();
        session.send_line("correct horse").unwrap();
        session.exp_string("The same again: ").unwrap();
        session.send_line("correct horse").unwrap();
        let said = session.exp_eof().unwrap();
        assert!(said.contains("somebody else has changed it meanwhile") && said.contains(says), "{said}");
        assert!(said.contains("nothing was changed") && !said.contains("horse"), "{said}");
    }
    assert_eq!(place.json("ls", &[], 0)["users"], serde_json::json!([]));
}

/// A way to NATS on which the key's entry is changed between the program's look and its write.
fn changed_meanwhile(place: &Place, key: &str) -> Relay {
    let (writer, key) = (bucket(&place.node.url(), "admin").writer().unwrap(), key.parse().unwrap());
    Relay::before_first(place.node.port(), move || {
        let seen = writer.last_change_of_key(DOMAIN, &key).unwrap().unwrap();
        let mut metadata = Metadata::default();
        metadata.insert("name", "meanwhile").unwrap();
        writer.replace_key(DOMAIN, &key, &metadata, seen.revision).unwrap();
    })
}

#[test]
fn a_revocation_wins_over_a_change_at_the_same_moment() {
    let place = Place::new();
    let alice = place.keygen(&["alice"]);
    place.run("add", &["alice.key"]).ok();
    let relay = changed_meanwhile(&place, &alice);
    let revoked = place.admin_by(&relay.url()).run("revoke", &["alice", "--json"]).ok();
    let revoked: serde_json::Value = serde_json::from_str(&revoked).unwrap();
    // The first write added the key, the second changed it meanwhile.
    assert!(revoked["action"] == "revoked" && revoked["revision"].as_u64() >= Some(3), "{revoked}");
    assert_eq!(place.json("ls", &[], 0)["keys"], serde_json::json!([]));
}

#[test]
fn no_other_command_overwrites_a_change_at_the_same_moment() {
    let place = Place::new();
    let alice = place.keygen(&["alice"]);
    place.run("add", &["alice.key"]).ok();
    fs::create_dir(place.path("clients")).unwrap();
    fs::copy(place.path("alice.key"), place.path("clients/alice.key")).unwrap();
    for command in ["add alice.key --name mine --force", "import clients --force", "revoke --revision REVISION KEY"] {
        let key = &place.json("ls", &[], 0)["keys"][0];
        let command = command.replace("REVISION", &key["revision"].to_string());
        let words: Vec<_> = command.split(' ').map(|word| if word == "KEY" { &alice } else { word }).collect();
        let relay = changed_meanwhile(&place, &alice);
        let outcome = place.admin_by(&relay.url()).run(words[0], &words[1..]);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert_eq!(outcome.code, 1, "{command}: {said}");
        assert!(said.contains("somebody else has changed it meanwhile: it was written at 20"), "{command}: {said}");
        assert_eq!(place.json("ls", &[], 0)["keys"][0]["metadata"]["name"], "meanwhile", "{command}");
    }
}

#[test]
fn a_key_that_was_revoked_before_is_removed_again() {
    let place = Place::new();
    let alice = place.keygen(&["alice"]);
    place.run("add", &["alice.key"]).ok();
    let first = place.json("revoke", &[&alice], 0);
    let second = place.json("revoke", &[&alice], 0);
    assert_eq!((&first["action"], &second["action"]), (&"revoked".into(), &"unchanged".into()));
    // An acknowledged write of its own, not what the first one has left.
    assert!(second["revision"].as_u64() > first["revision"].as_u64(), "{first} {second}");
    let last = bucket(&place.node.url(), "admin").writer().unwrap();
    let last = last.last_change_of_key(DOMAIN, &alice.parse().unwrap()).unwrap().unwrap();
    assert_eq!((Some(last.revision), last.entry), (second["revision"].as_u64(), None));
    let said = place.run("revoke", &[&alice]).ok();
    assert!(said.starts_with("revoked: ") && said.contains("(it was revoked or deleted at 20"), "{said}");
}

#[test]
fn a_secret_is_on_no_command_line_and_a_loose_file_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    fs::set_permissions(place.path("admin.login"), fs::Permissions::from_mode(0o644)).unwrap();
    let warned = place.run("ls", &[]);
    assert!(warned.code == 0 && warned.stderr.contains("mode 644): chmod 600"), "{}", warned.stderr);
    // Options from the environment, as for NATS's own program.
    let run = |variables: &[(&str, &str)]| {
        let mut command = Command::new(program());
        command.args(["ls", "--bucket", BUCKET, "--domain", DOMAIN]).current_dir(place.directory.path());
        command.env("NATS_URL", place.node.url()).envs(variables.iter().copied()).stdin(Stdio::null());
        command.output().unwrap()
    };
    assert!(run(&[("NATS_USER", "admin"), ("NATS_PASSWORD", crate::PASSWORD)]).status.success());
    assert!(run(&[("NATS_CREDS", "admin.login")]).status.success());
    let half = run(&[("NATS_USER", "admin")]);
    assert_eq!(half.status.code(), Some(2), "{}", String::from_utf8_lossy(&half.stderr));
}
