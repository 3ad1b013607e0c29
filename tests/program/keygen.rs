//! `zmq-auth keygen`.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rexpect::session::{Options, spawn_with_options};
use zmq_auth::Certificate;

use crate::files::{all, keygen, listed, mode, names};
use crate::python;
use crate::run::{program, run};

#[test]
fn the_public_key_is_printed_and_the_files_belong_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = run(dir.path(), &["keygen", "alice"]);
    assert!(outcome.stderr.contains("Only the owner of the key may have alice.key_secret."), "{}", outcome.stderr);
    let key = outcome.ok();
    let secret = dir.path().join("alice.key_secret");
    assert_eq!(names(dir.path()), ["alice.key", "alice.key_secret"]);
    assert_eq!((mode(&secret), mode(&dir.path().join("alice.key")) & 0o133), (0o600, 0));
    let certificate = Certificate::load(&secret).unwrap();
    certificate.key_pair().unwrap().check().unwrap();
    assert_eq!(key, format!("{}\n", certificate.public_key()));
    assert_eq!(Certificate::load(dir.path().join("alice.key")).unwrap().public_key(), certificate.public_key());
}

#[test]
fn json_names_keys_and_files() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    let outcome = run(dir.path(), &["keygen", "alice", "-o", "out", "--json"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    let made = &outcome.json()["certificates"];
    assert_eq!(made.as_array().unwrap().len(), 1);
    let public = dir.path().join(made[0]["public_file"].as_str().unwrap());
    let certificate = Certificate::load(public).unwrap();
    assert_eq!((&made[0]["name"], &made[0]["secret_file"]), (&"alice".into(), &"out/alice.key_secret".into()));
    assert_eq!(made[0]["public_key"], certificate.public_key().to_string());
    assert!(!outcome.stdout.contains("secret-key"));
}

#[test]
fn metadata_and_times_are_in_both_files() {
    let dir = tempfile::tempdir().unwrap();
    let times = ["--not-before", "2027-01-31", "--not-after", "2028-01-31T12:00:00+01:00"];
    keygen(dir.path(), &[&["a", "-m", "name=Al = \"x\"", "--metadata", "role="], &times[..]].concat());
    let expected = [
        ("name", "Al = \"x\""),
        ("role", ""),
        ("not-before", "2027-01-31T00:00:00Z"),
        ("not-after", "2028-01-31T11:00:00Z"),
    ];
    for file in ["a.key", "a.key_secret"] {
        let certificate = Certificate::load(dir.path().join(file)).unwrap();
        assert_eq!(certificate.metadata().iter().collect::<Vec<_>>(), expected, "{file}");
    }
    assert!(!fs::read_to_string(dir.path().join("a.key")).unwrap().contains("secret-key"));
}

#[test]
fn existing_files_are_kept_without_force() {
    let dir = tempfile::tempdir().unwrap();
    let first = keygen(dir.path(), &["a"]);
    let before = all(dir.path());
    for extra in [&[][..], &["-m", "name=A"]] {
        let outcome = run(dir.path(), &[&["keygen", "a"], extra].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
        assert!(outcome.stderr.contains("a.key: exists already; nothing was changed"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("--force"), "{}", outcome.stderr);
    }
    // A single existing file among many is enough.
    fs::write(dir.path().join("b-3.key_secret"), "mine").unwrap();
    assert_eq!(run(dir.path(), &["keygen", "b", "--count", "4"]).code, 1);
    fs::remove_file(dir.path().join("b-3.key_secret")).unwrap();
    assert_eq!(all(dir.path()), before);
    for extra in [&["--force"][..], &["--force", "-m", "name=A"]] {
        let key = keygen(dir.path(), &[&["a"], extra].concat());
        assert_ne!(key, first);
        assert_eq!(Certificate::load(dir.path().join("a.key")).unwrap().public_key().to_string(), key);
        assert_eq!(Certificate::load(dir.path().join("a.key_secret")).unwrap().public_key().to_string(), key);
    }
    assert_eq!(Certificate::load(dir.path().join("a.key")).unwrap().metadata().get("name"), Some("A"));
}

#[test]
fn wrong_uses_make_nothing_and_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let wrong: &[(&[&str], i32, &str)] = &[
        (&[""], 2, "is empty"),
        (&["../a"], 2, "contains a path separator"),
        (&[".a"], 2, "starts with a dot"),
        (&["a\nb"], 2, "has a control character"),
        (&["a", "-m", "name"], 2, "write KEY=VALUE"),
        (&["a", "-m", "name=A", "-m", "name=B"], 2, "is given twice"),
        (&["a", "-m", "not-after=2027-01-01T00:00:00Z"], 2, "Use --not-after"),
        (&["a", "-m", "Not_After=x"], 1, "Not_After"),
        (&["a", "-m", "public-key=x"], 1, "public-key"),
        (&["a", "-m", "name=a\nb"], 1, "name"),
        (&["a", "--not-before", "2d", "--not-after", "1d"], 2, "--not-after is before --not-before"),
        (&["a", "--not-after", "tomorrow"], 2, "is not a time"),
        (&["a", "--count", "0"], 2, "--count"),
        (&["a", "-o", "nowhere"], 1, "Create it: mkdir nowhere"),
        (&[], 2, "<NAME>"),
    ];
    for (arguments, code, text) in wrong {
        let outcome = run(dir.path(), &[&["keygen"], *arguments].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (*code, ""), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(text), "{arguments:?}: {}", outcome.stderr);
        assert!(names(dir.path()).is_empty(), "{arguments:?}");
    }
}

#[test]
fn what_no_server_uses_is_made_with_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = run(dir.path(), &["keygen", "a", "--not-after", "2020-01-01"]);
    assert!(outcome.code == 0 && outcome.stderr.contains("in the past"), "{}", outcome.stderr);
    let outcome = run(dir.path(), &["keygen", "b", "-m", "User-Id=root"]);
    assert!(outcome.code == 0 && outcome.stderr.contains("no server passes it on"), "{}", outcome.stderr);
}

#[test]
fn the_names_of_many_pairs_have_the_same_length() {
    let dir = tempfile::tempdir().unwrap();
    let printed = keygen(dir.path(), &["node", "--count", "12", "-m", "role=node"]);
    let lines: Vec<_> = printed.lines().map(|line| line.split_once("  ").unwrap()).collect();
    assert_eq!(lines.len(), 12);
    assert_eq!((lines[0].0, lines[8].0, lines[11].0), ("node-01", "node-09", "node-12"));
    for (name, key) in lines {
        for ending in ["key", "key_secret"] {
            let certificate = Certificate::load(dir.path().join(format!("{name}.{ending}"))).unwrap();
            assert_eq!(certificate.public_key().to_string(), key);
        }
    }
    assert_eq!(names(dir.path()).len(), 24);
    assert_eq!(keygen(dir.path(), &["one", "--count", "1"]).split("  ").next(), Some("one-1"));
}

/// The program, with SIGINT enabled even if this test ignores it, as in the background of a shell.
fn interruptible() -> Command {
    let mut command = Command::new("env");
    command.arg("--default-signal=INT").arg(program());
    command
}

#[test]
fn ctrl_c_leaves_whole_pairs_alone() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let name = format!("n{round}");
        let mut child = interruptible()
            .args(["keygen", &name, "--count", "100000", "-m", "name=N"])
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let third = dir.path().join(format!("{name}-000003.key"));
        let deadline = Instant::now() + Duration::from_secs(60);
        // In the middle of a pair: files are written under another name, and then renamed.
        while !(third.exists() && listed(dir.path()).iter().any(|name| name.starts_with('.'))) {
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < deadline, "it makes no pairs");
            std::thread::yield_now();
        }
        kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::SIGINT as i32), "{status}");
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(stderr, "", "no bar without a terminal");
    }
    let files = whole_pairs(dir.path());
    assert!((30..1_000_000).contains(&files), "{files}");
}

#[test]
fn a_terminal_has_a_bar_and_ctrl_c_there_leaves_whole_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = interruptible();
    command.args(["keygen", "n", "--count", "100000"]).current_dir(dir.path());
    let options = Options { timeout_ms: Some(60_000), ..Options::default() };
    let mut session = spawn_with_options(command, options).unwrap();
    session.exp_string(" of 100,000").unwrap();
    session.send_control('c').unwrap();
    let status = session.process().wait().unwrap();
    assert!(format!("{status:?}").contains("SIGINT"), "{status:?}");
    assert!((2..200_000).contains(&whole_pairs(dir.path())));
}

/// Checks that there are only whole pairs, and returns their number.
fn whole_pairs(directory: &Path) -> usize {
    let names = listed(directory);
    for name in &names {
        let path = directory.join(name);
        let certificate = Certificate::load(&path).unwrap_or_else(|error| panic!("{error}"));
        let other = match name.strip_suffix(".key") {
            Some(stem) => format!("{stem}.key_secret"),
            None => name.strip_suffix("_secret").unwrap_or_else(|| panic!("{name} was left behind")).to_owned(),
        };
        let other = Certificate::load(directory.join(other)).unwrap_or_else(|error| panic!("half a pair: {error}"));
        assert_eq!(other.public_key(), certificate.public_key());
    }
    names.len()
}

/// Runs a Python script with pyzmq and the directory as its argument.
fn pyzmq(script: &str, directory: &Path) -> String {
    let output = Command::new(python::python()).args(["-c", script]).arg(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_files_are_pyzmqs() {
    let dir = tempfile::tempdir().unwrap();
    let key = keygen(dir.path(), &["plain"]);
    let full = keygen(dir.path(), &["full", "-m", "name=Alice"]);
    let script = "
import sys, zmq.auth
directory = sys.argv[1]
zmq.auth.create_certificates(directory, 'theirs')
for name in ('plain', 'full'):
    public, none = zmq.auth.load_certificate(f'{directory}/{name}.key')
    same, secret = zmq.auth.load_certificate(f'{directory}/{name}.key_secret')
    assert none is None and public == same and zmq.curve_public(secret) == public
    print(public.decode())";
    assert_eq!(pyzmq(script, dir.path()), format!("{key}\n{full}\n"));

    // The same byte for byte, except the time and the keys.
    let neutral = |file: PathBuf| -> String {
        let text = fs::read_to_string(file).unwrap();
        let line = |line: &str| match line {
            line if line.contains("Generated on") => format!("time{}", &line[line.find(" by ").unwrap()..]),
            line if line.contains("-key = \"") => format!("{}{}", &line[..18], line.len()),
            line => line.to_owned(),
        };
        text.split('\n').map(line).collect::<Vec<_>>().join("\n")
    };
    for ending in ["key", "key_secret"] {
        let file = |name| dir.path().join(format!("{name}.{ending}"));
        assert_eq!(neutral(file("plain")), neutral(file("theirs")));
    }
}
