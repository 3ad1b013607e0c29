//! `zmq-auth show`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use crate::files::{OTHER, PUBLIC, SECRET, certificate};
use crate::run::run;

#[test]
fn a_secret_certificate_is_shown_without_its_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("server.key_secret");
    let times = "    not-before = 2020-01-01T00:00:00Z\n    not-after = 2199-01-31T00:00:00Z\n";
    let text = format!(
        "metadata\n    name = Server \x07\n{times}curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\"\n"
    );
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let expected = format!(
        "file        server.key_secret\npublic key  {PUBLIC}\nsecret key  there (not shown)\n\
         validity    valid until 2199-01-31T00:00:00Z\nmetadata    name = Server \\u{{7}}\n            \
         not-before = 2020-01-01T00:00:00Z\n            not-after = 2199-01-31T00:00:00Z\nmode        600\n"
    );
    assert_eq!(run(dir.path(), &["show", "server.key_secret"]).ok(), expected);
    let expected = serde_json::json!({
        "file": "server.key_secret", "public_key": PUBLIC, "has_secret_key": true, "state": "valid",
        "not_before": "2020-01-01T00:00:00Z", "not_after": "2199-01-31T00:00:00Z",
        "metadata": {"name": "Server \u{7}", "not-before": "2020-01-01T00:00:00Z", "not-after": "2199-01-31T00:00:00Z"},
        "mode": "600", "problems": [],
    });
    assert_eq!(run(dir.path(), &["show", "server.key_secret", "--json"]).json(), expected);
}

#[test]
fn problems_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    let problems = |text: &str, mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let text = run(dir.path(), &["show", "x"]).ok();
        let json = run(dir.path(), &["show", "x", "--json"]).json();
        let listed: Vec<_> =
            json["problems"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect();
        let shown: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("problem     ")).collect();
        assert_eq!(listed, shown);
        assert!(!text.contains(SECRET));
        listed
    };
    let pair = |public: &str| format!("curve\n    public-key = \"{public}\"\n    secret-key = \"{SECRET}\"\n");
    assert!(problems(&certificate(PUBLIC, &[]), 0o644).is_empty());
    assert!(problems(&pair(PUBLIC), 0o600).is_empty());
    let cases = [
        (certificate(PUBLIC, &[]), 0o664, "users other than its owner can change it (mode 664)"),
        (certificate(PUBLIC, &["not-after = soon"]), 0o644, "not-after is not an RFC 3339 time"),
        (pair(PUBLIC), 0o640, "has a secret key, and users other than its owner can read it (mode 640): chmod 600"),
        (pair(OTHER), 0o600, "are not a pair"),
    ];
    for (text, mode, problem) in cases {
        let found = problems(&text, mode);
        assert!(found.len() == 1 && found[0].contains(problem), "{found:?}");
    }
}

#[test]
fn a_file_that_is_not_a_certificate_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), format!("curve\n    secret-key = \"{SECRET}x\"\n")).unwrap();
    let outcome = run(dir.path(), &["show", "x"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(outcome.stderr.contains("x:2: ") && !outcome.stderr.contains("JTKV"), "{}", outcome.stderr);
    assert_eq!(run(dir.path(), &["show", "missing"]).code, 1);
    assert_eq!(run(dir.path(), &["show", "."]).code, 1);
}
