//! Failures: a clear error in limited time, without secrets.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use super::Place;
use crate::run::{Outcome, program, run};
use crate::{DEADLINE, PASSWORD};

fn ls(place: &Place, arguments: &[&str]) -> Outcome {
    let start = Instant::now();
    let outcome = run(place.directory.path(), &[&["ls", "--domain", "lab"], arguments].concat());
    assert!(start.elapsed() < DEADLINE, "{arguments:?} took {:?}", start.elapsed());
    assert!(outcome.stdout.is_empty() && !outcome.stderr.contains(PASSWORD), "{}", outcome.stderr);
    outcome
}

#[test]
fn every_failure_has_a_clear_error() {
    let place = Place::new();
    let url = place.node.url();
    place.secret_file("wrong.login", "admin=something else\n");
    place.secret_file("no.login", "something else\n");
    // It accepts connections, but never sends anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("nats://{}", silent.local_addr().unwrap());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed_url = format!("nats://{}", closed.local_addr().unwrap());
    drop(closed);
    let with_password = format!("nats://admin:{}@127.0.0.1:4222", "topsecret");
    for (arguments, code, says) in [
        (&["--nats", &url, "--bucket", "clients", "--login", "wrong.login"] as &[&str], 1, "authorization violation"),
        (
            &["--nats", &url, "--bucket", "clients"],
            1,
            "The login is wrong, or none was given. To give one: --login FILE.",
        ),
        (&["--nats", &url, "--bucket", "clients", "--login", "no.login"], 1, "no.login:1: "),
        (&["--nats", &url, "--bucket", "clients", "--login", "nowhere"], 1, "nowhere: "),
        (&["--nats", &url, "--bucket", "clients", "--ca", "nowhere"], 1, "nowhere: there is no such file"),
        (&["--nats", &url, "--bucket", "others", "--login", "admin.login"], 1, "zmq-auth create-bucket --nats nats://"),
        (&["--nats", &url, "--bucket", "a.b", "--login", "admin.login"], 1, "letters, digits, - and _ only"),
        (&["--nats", &silent_url, "--bucket", "clients"], 1, "cannot connect: "),
        (&["--nats", &closed_url, "--bucket", "clients"], 1, "Is a NATS server running there?"),
        (&["--nats", "ws://127.0.0.1:4222", "--bucket", "clients"], 1, "neither nats:// nor tls://"),
        (&["--nats", &with_password, "--bucket", "clients"], 1, "user or password in it"),
        (&["--bucket", "clients"], 2, "no NATS server was given"),
        (&["--nats", &url], 2, "--bucket"),
    ] {
        let outcome = ls(&place, arguments);
        assert!(
            outcome.code == code && outcome.stderr.contains(says),
            "{arguments:?}: {} {}",
            outcome.code,
            outcome.stderr
        );
        assert!(!outcome.stderr.contains("topsecret"), "{}", outcome.stderr);
    }
}

#[test]
fn a_bucket_is_made_once_and_a_single_server_has_no_replicas() {
    let place = Place::new();
    let url = place.node.url();
    let create = |arguments: &[&str]| {
        let options = ["create-bucket", "--nats", &url, "--login", "admin.login", "--bucket"];
        run(place.directory.path(), &[&options[..], arguments].concat())
    };
    let three = create(&["others"]);
    assert!(three.code == 1 && three.stderr.contains("--replicas 1"), "{}", three.stderr);
    assert_eq!(create(&["others", "--replicas", "2"]).code, 2);
    for _ in 0..2 {
        create(&["others", "--replicas", "1"]).ok();
    }
    // A server's login isn't an administrator's: it may not create a bucket.
    let options = ["create-bucket", "--nats", &url, "--login", "server-1.login", "--bucket", "mine", "--replicas", "1"];
    let outcome = run(place.directory.path(), &options);
    assert!(outcome.code == 1 && outcome.stderr.contains("cannot make the bucket"), "{}", outcome.stderr);
}

#[test]
fn a_servers_login_changes_nothing() {
    let place = Place::new();
    let alice = place.keygen(&["alice"]);
    place.run("add", &["alice.key"]).ok();
    let (before, url) = (place.json("ls", &[], 0), place.node.url());
    for (verb, rest) in [
        ("add", &["alice.key", "--name", "mallory", "--force"] as &[&str]),
        ("revoke", &[alice.as_str()]),
        ("passwd", &["mallory", "--password-file", "admin.login"]),
    ] {
        let options = ["--nats", &url, "--bucket", "clients", "--domain", "lab", "--login", "server-1.login"];
        let outcome = run(place.directory.path(), &[&[verb], &options[..], rest].concat());
        assert!(outcome.code == 1 && outcome.stderr.contains("NATS: cannot "), "{verb}: {}", outcome.stderr);
    }
    assert_eq!(place.json("ls", &[], 0), before);
}

#[test]
fn a_server_that_cannot_follow_says_why() {
    let place = Place::new();
    place.policy();
    place.keygen(&["server"]);
    place.secret_file("server-1.login", "server-1=something else\n");
    let back = format!("ipc://{}", place.path("app.sock").display());
    for rest in [
        &["listen", "policy.toml", "tcp://127.0.0.1:*", "--domain", "lab", "--curve", "server.key_secret"] as &[&str],
        &[
            "gate",
            "policy.toml",
            "--front",
            "tcp://127.0.0.1:*",
            "--back",
            &back,
            "--kind",
            "reply",
            "--domain",
            "lab",
            "--key",
            "server.key_secret",
        ],
    ] {
        let mut command = Command::new(program());
        command.args(rest).current_dir(place.directory.path());
        let mut server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, said) = channel();
        let lines = BufReader::new(server.stderr.take().unwrap()).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let told = loop {
            let line: String = said.recv_timeout(DEADLINE).expect("it says why");
            if line.contains("authorization violation") {
                break line;
            }
        };
        server.kill().unwrap();
        server.wait().unwrap();
        assert!(told.starts_with("warning: bucket clients of NATS, domain lab: "), "{told}");
        assert!(!told.contains("something else"), "{told}");
    }
}
