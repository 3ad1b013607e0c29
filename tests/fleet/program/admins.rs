//! Two administrators at once: neither undoes the other's changes unnoticed.

use std::process::{Command, Stdio};
use std::thread;

use rexpect::session::{Options, spawn_with_options};

use super::Place;
use crate::run::program;
use crate::{BUCKET, DOMAIN};

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
        assert!(said.contains("somebody else was faster") && said.contains(says), "{said}");
        assert!(said.contains("nothing was changed") && !said.contains("horse"), "{said}");
    }
    assert_eq!(place.json("ls", &[], 0)["users"], serde_json::json!([]));
}

#[test]
fn a_revocation_wins_over_whoever_adds_at_the_same_time() {
    let place = Place::new();
    place.keygen(&["alice"]);
    place.run("add", &["alice.key"]).ok();
    // Both go on for a while; the one who adds does so without --force.
    let admin = place.admin();
    thread::scope(|scope| {
        let adding = scope.spawn(|| {
            for number in 0..6 {
                let outcome = admin.run("add", &["alice.key", "--name", &format!("by-{number}")]);
                assert_eq!(outcome.code, 1, "{}", outcome.stdout);
            }
        });
        assert_eq!(admin.run("revoke", &["alice"]).code, 0);
        adding.join().unwrap();
    });
    assert_eq!(place.json("ls", &[], 0)["keys"], serde_json::json!([]));
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
