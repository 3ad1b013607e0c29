//! `zmq-auth ls`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

use zmq_auth::PublicKey;

use crate::files::{OTHER, PUBLIC, SECRET, certificate};
use crate::run::run;

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let key = |number: u8| PublicKey::from([number; 32]).to_string();
    write("alice.key", &certificate(PUBLIC, &["name = Alice B", "role = reader", "not-after = 2199-01-31T00:00:00Z"]));
    write("alice2.key", &certificate(PUBLIC, &[]));
    write("bad.key", "curve\n    public-key = \"short\"\n");
    write("ended.key", &certificate(OTHER, &["not-after = 2020-01-01T00:00:00Z"]));
    write("later.key", &certificate(&key(1), &["not-before = 2199-01-01T00:00:00Z"]));
    write("open.key", &certificate(&key(2), &["name = \x1b[31m\u{202e}x"]));
    fs::set_permissions(dir.path().join("open.key"), Permissions::from_mode(0o666)).unwrap();
    write("secret.key", &format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\"\n"));
    write("time.key", &certificate(&key(3), &["not-after = tomorrow"]));
    symlink("nowhere", dir.path().join("link.key")).unwrap();
    // Servers read none of these.
    write(".hidden.key", &certificate(&key(4), &[]));
    write("x.key_secret", "no certificate");
    fs::create_dir(dir.path().join("revoked")).unwrap();
    write("revoked/gone.key", &certificate(&key(5), &[]));
    dir
}

#[test]
fn one_line_for_each_file_says_what_it_is() {
    let dir = directory();
    let text = run(dir.path(), &["ls", "."]).ok();
    let lines: Vec<_> = text.lines().collect();
    let expected = [
        ("alice.key", "valid until 2199-01-31T00:00:00Z  name=\"Alice B\"  role=reader"),
        ("alice2.key", "valid  problem: has the same key as alice.key"),
        ("bad.key", "problem: line 2: "),
        ("ended.key", "expired 2020-01-01T00:00:00Z"),
        ("later.key", "not valid yet: from 2199-01-01T00:00:00Z"),
        ("link.key", "problem: cannot open: "),
        (
            "open.key",
            r"name=\u{1b}[31m\u{202e}x  problem: users other than its owner can change it (mode 666): chmod go-w",
        ),
        ("secret.key", "problem: has a secret key, which a server must not have"),
        ("time.key", "problem: not-after is not an RFC 3339 time"),
    ];
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, (file, what)) in lines.iter().zip(expected) {
        assert!(line.starts_with(file) && line.contains(what), "{file} {what}: {line}");
    }
    assert!(lines[0].contains(&format!("  {PUBLIC}  ")) && !text.contains('\x1b') && !text.contains(SECRET));
}

#[test]
fn json_has_each_field() {
    let dir = directory();
    let value = run(dir.path(), &["ls", ".", "--json"]).json();
    let all = value["certificates"].as_array().unwrap();
    assert_eq!(all.len(), 9);
    let expected = serde_json::json!({
        "file": "alice.key", "public_key": PUBLIC, "state": "valid", "not_before": null,
        "not_after": "2199-01-31T00:00:00Z",
        "metadata": {"name": "Alice B", "role": "reader", "not-after": "2199-01-31T00:00:00Z"},
        "problems": [],
    });
    assert_eq!(all[0], expected);
    assert_eq!((&all[2]["public_key"], &all[2]["state"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(all[2]["problems"].as_array().unwrap().len(), 1);
    assert_eq!((&all[3]["state"], &all[4]["state"]), (&"expired".into(), &"not-yet-valid".into()));
    assert_eq!(all[8]["state"], serde_json::Value::Null);
}

#[test]
fn a_key_is_found_or_not() {
    let dir = directory();
    let text = run(dir.path(), &["ls", ".", "--key", OTHER]).ok();
    assert!(text.starts_with("ended.key") && text.lines().count() == 1, "{text}");
    let value = run(dir.path(), &["ls", ".", "--json", "--key", PUBLIC]).json();
    let files: Vec<_> =
        value["certificates"].as_array().unwrap().iter().map(|one| one["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["alice.key", "alice2.key", "secret.key"]);
    let unknown = run(dir.path(), &["ls", ".", "--key", &PublicKey::from([9; 32]).to_string()]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (1, ""));
    assert!(unknown.stderr.contains("no certificate in . has this key"), "{}", unknown.stderr);
    let outcome = run(dir.path(), &["ls", ".", "--key", "short"]);
    assert!(outcome.code == 2 && outcome.stderr.contains("not a CURVE key"), "{}", outcome.stderr);
    // Z85 contains dashes.
    let dash = (0..=255).map(|byte| PublicKey::from([byte; 32]).to_string()).find(|key| key.starts_with('-')).unwrap();
    assert_eq!(run(dir.path(), &["ls", ".", "--key", &dash]).code, 1);
}

#[test]
fn an_empty_directory_and_none() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(dir.path(), &["ls", "."]).ok(), "");
    assert_eq!(run(dir.path(), &["ls", ".", "--json"]).json(), serde_json::json!({"certificates": []}));
    let outcome = run(dir.path(), &["ls", "nowhere"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("nowhere: no such directory"), "{}", outcome.stderr);
}

#[test]
fn many_files_are_listed_in_order_and_in_time() {
    const FILES: u16 = 5_000;
    let dir = tempfile::tempdir().unwrap();
    let key = |number: u16| {
        let mut bytes = [1; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        PublicKey::from(bytes).to_string()
    };
    for number in 0..FILES {
        let path = dir.path().join(format!("client-{number:04}.key"));
        fs::write(path, certificate(&key(number), &[&format!("name = {number}")])).unwrap();
    }
    let begin = Instant::now();
    let text = run(dir.path(), &["ls", "."]).ok();
    // Takes half a second in a debug build; it was seconds with a buffer of 64 KiB for each file.
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(text.lines().count(), usize::from(FILES));
    for (number, line) in (0..FILES).zip(text.lines()) {
        assert_eq!(line, format!("client-{number:04}.key  {}  valid  name={number}", key(number)));
    }
    let found = run(dir.path(), &["ls", ".", "--key", &key(4321)]).ok();
    assert!(found.starts_with("client-4321.key "), "{found}");
}

#[test]
fn characters_that_turn_or_end_a_line_are_escaped() {
    let dir = tempfile::tempdir().unwrap();
    for character in ['\u{61c}', '\u{2028}', '\u{2029}', '\u{202e}'] {
        let name = format!("a{character}b");
        let wanted = format!("a\\u{{{:x}}}b", character as u32);
        let outcome = run(dir.path(), &["passwd", "users", "alice", "--password-file", &name]);
        assert!(outcome.code == 1 && outcome.stderr.contains(&wanted), "{}", outcome.stderr);
        assert!(!outcome.stderr.contains(character), "{}", outcome.stderr);
    }
}
