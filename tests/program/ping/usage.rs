//! Wrong arguments and files: the error, and that no handshake is tried.

use std::path::Path;

use super::Keys;
use crate::run::run;

#[track_caller]
fn assert_refused(directory: &Path, arguments: &[&str], exit: i32, says: &[&str]) {
    let outcome = run(directory, &[&["ping"], arguments].concat());
    assert_eq!(outcome.code, exit, "{arguments:?}: {}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
    for word in says {
        assert!(outcome.stderr.contains(word), "{arguments:?}: {:?} lacks {word:?}", outcome.stderr);
    }
}

#[test]
fn an_endpoint_that_has_no_handshake_is_refused() {
    for (endpoint, says) in [
        ("inproc://a", "no security mechanism"),
        ("5555", "is not an endpoint"),
        ("udp://127.0.0.1:5555", "only tcp:// and ipc:// have a handshake"),
        ("tcp://127.0.0.1", "has no port"),
        ("tcp://127.0.0.1:0", "the port is not a number from 1 to 65535"),
        ("tcp://127.0.0.1:*", "the port is not a number from 1 to 65535"),
        ("tcp://:5555", "has no host"),
        ("tcp://*:5555", "only a server can bind"),
        ("ipc://*", "only a server can bind"),
        ("ipc://", "has no path"),
        ("a\x1b[2Jb", "a\\u{1b}[2Jb: is not an endpoint"),
    ] {
        assert_refused(Path::new("."), &[endpoint, "--null"], 2, &[says]);
    }
    let long = format!("ipc://{}", "a".repeat(108));
    assert_refused(Path::new("."), &[&long, "--null"], 2, &["107 bytes"]);
}

#[test]
fn credentials_of_exactly_one_mechanism_are_required() {
    let endpoint = "tcp://127.0.0.1:1";
    for (arguments, says) in [
        (&[endpoint][..], "--key <FILE>|--plain <USER>|--null"),
        (&[endpoint, "--null", "--plain", "alice"], "cannot be used with"),
        (&[endpoint, "--null", "--key", "a", "--server", "b"], "cannot be used with"),
        (&[endpoint, "--key", "a"], "--server <FILE>"),
        (&[endpoint, "--server", "a"], "--key <FILE>"),
        (&[endpoint, "--null", "--server", "a"], "--server <FILE>"),
        (&[endpoint, "--null", "--stdin"], "give the password of --plain"),
        (&[endpoint, "--plain", "alice"], "no terminal to ask for it"),
        (&[endpoint, "--null", "--timeout", "0s"], "more than 0"),
        (&[endpoint, "--null", "--timeout", "2d"], "at most 1d"),
        (&[endpoint, "--null", "--timeout", "soon"], "not a time span"),
        (&[endpoint, "--null", "--type", "pair"], "possible values: dealer, sub, push"),
    ] {
        assert_refused(Path::new("."), arguments, 2, &[says]);
    }
    assert_refused(Path::new("."), &[endpoint, "--plain", "", "--stdin"], 2, &["user name"]);
    assert_refused(Path::new("."), &[endpoint, "--plain", "alice", "--stdin"], 2, &["password"]);
}

#[test]
fn a_file_of_the_wrong_kind_is_named() {
    let keys = Keys::new();
    let with = |server, key| ["tcp://127.0.0.1:1", "--server", server, "--key", key];
    let secret = "server.key_secret: contains a secret key, but --server takes a public certificate";
    assert_refused(keys.path(), &with("server.key_secret", "alice.key_secret"), 2, &[secret, "NAME.key"]);
    let public = "alice.key: has no secret key, but --key takes a secret certificate";
    assert_refused(keys.path(), &with("server.key", "alice.key"), 2, &[public, "NAME.key_secret"]);
    assert_refused(keys.path(), &with("alice.key", "alice.key_secret"), 2, &["have the same key"]);
    assert_refused(keys.path(), &with("missing.key", "alice.key_secret"), 1, &["missing.key: cannot open"]);
    std::fs::write(keys.path().join("bad.key"), "curve\n    public-key = \"short\"\n").unwrap();
    assert_refused(keys.path(), &with("bad.key", "alice.key_secret"), 1, &["bad.key:2:"]);

    // One half of each pair.
    let line = |name: &str, key: &str| {
        let content = std::fs::read_to_string(keys.path().join(name)).unwrap();
        content.lines().find(|line| line.trim().starts_with(key)).unwrap().to_owned()
    };
    let mixed = [line("alice.key", "public-key"), line("mallory.key_secret", "secret-key")].join("\n");
    std::fs::write(keys.path().join("mixed.key_secret"), &mixed).unwrap();
    assert_refused(keys.path(), &with("server.key", "mixed.key_secret"), 1, &["mixed.key_secret", "not a pair"]);
}

#[test]
fn the_help_has_an_example_and_the_exit_codes() {
    let help = run(Path::new("."), &["ping", "--help"]).ok();
    assert!(help.contains("zmq-auth ping tcp://192.0.2.7:5555 --server server.key --key alice.key_secret"), "{help}");
    assert!(help.contains("0 authenticated, 3 denied, 4 no handshake, 5 unreachable"), "{help}");
}
