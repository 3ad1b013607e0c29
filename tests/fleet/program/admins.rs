//! Two administrators at once: neither undoes the other's changes unnoticed.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use rexpect::session::{Options, spawn_with_options};
use zmq_auth::{Error, LastChange, Metadata};

use super::Place;
use crate::run::program;
use crate::{BUCKET, DEADLINE, DOMAIN, bucket};

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

#[test]
fn a_revocation_wins_over_somebody_who_changes_the_key_all_the_time() {
    let place = Place::new();
    let key = place.keygen(&["alice"]).parse().unwrap();
    place.run("add", &["alice.key"]).ok();
    let writer = bucket(&place.node.url(), "admin").writer().unwrap();
    let changes = AtomicUsize::new(0);
    let end = Instant::now() + DEADLINE;
    thread::scope(|scope| {
        // As fast as it can, but only what it has seen: it stops at a removal.
        let changing = scope.spawn(|| {
            let mut metadata = Metadata::default();
            while let Some(LastChange { revision, entry: Some(_), .. }) =
                writer.last_change_of_key(DOMAIN, &key).unwrap()
            {
                assert!(Instant::now() < end, "the key was never removed");
                metadata.insert("change", revision.to_string()).unwrap();
                match writer.replace_key(DOMAIN, &key, &metadata, revision) {
                    Ok(_) => changes.fetch_add(1, Ordering::Relaxed),
                    Err(Error::Conflict { .. }) => break,
                    Err(error) => panic!("{error}"),
                };
            }
        });
        crate::wait_until("the key changes", || changes.load(Ordering::Relaxed) >= 3);
        let before = changes.load(Ordering::Relaxed);
        let revoked = place.json("revoke", &[&key.to_string()], 0);
        assert_eq!(revoked["action"], "revoked");
        changing.join().unwrap();
        assert!(changes.load(Ordering::Relaxed) > before, "nothing was changed while the program ran");
    });
    assert_eq!(place.json("ls", &[], 0)["keys"], serde_json::json!([]));
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
    std::fs::set_permissions(place.path("admin.login"), std::fs::Permissions::from_mode(0o644)).unwrap();
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
