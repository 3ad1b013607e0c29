//! Single certificates: lines, kinds, modes, pairs and times.

use jiff::{SignedDuration, Timestamp};

use super::{Files, certificate};

/// The time this many days from now, in RFC 3339.
fn days_from_now(days: i64) -> String {
    (Timestamp::now() + SignedDuration::from_hours(24 * days)).to_string()
}

#[test]
fn good_ones_have_no_problem() {
    let files = Files::new();
    files.pair(".", "alice", &certificate().with_metadata("not-after", days_from_now(100)).unwrap());
    assert!(files.codes(&["alice.key", "alice.key_secret"], 0).is_empty());
    // With CRLF, and without a line feed at the end.
    let text = std::fs::read_to_string(files.path().join("alice.key")).unwrap();
    files.write("crlf.key", text.trim_end().replace('\n', "\r\n"), 0o644);
    assert!(files.codes(&["crlf.key"], 0).is_empty());
}

#[test]
fn every_bad_line_is_reported_without_its_content() {
    let files = Files::new();
    let content = "metadata\n    Not-After = SECRETWORD\ncurve\n    public-key = \"SECRETWORD\"\n    secret-key = \"SECRETWORD\"\n";
    files.write("bad.key", content, 0o644);
    assert_eq!(files.codes(&["bad.key"], 1), ["bad.key:2 bad-line", "bad.key:4 bad-line", "bad.key:5 bad-line"]);
    let found = files.lint(&["bad.key"], 1);
    assert!(found.iter().all(|problem| !problem.text.contains("SECRETWORD")));
    assert!(found.iter().all(|problem| problem.text.ends_with("; correct this line")));
    files.write("empty.key", "", 0o644);
    assert_eq!(files.codes(&["empty.key"], 1), ["empty.key bad-file"]);
    assert_eq!(files.codes(&["missing.key"], 1), ["missing.key unreadable"]);
}

#[test]
fn modes_are_checked_by_what_is_in_the_file() {
    let files = Files::new();
    files.pair(".", "alice", &certificate());
    for (mode, public, secret) in [(0o600, 0, 0), (0o644, 0, 1), (0o640, 0, 1), (0o664, 1, 1), (0o602, 1, 1)] {
        files.chmod("alice.key", mode);
        files.chmod("alice.key_secret", mode);
        let check = |name: &str, count: usize| {
            let expected: Vec<String> = (0..count).map(|_| format!("{name} loose-mode")).collect();
            assert_eq!(files.codes(&[name], i32::from(count > 0)), expected, "{mode:o}");
        };
        check("alice.key", public);
        check("alice.key_secret", secret);
    }
    // The mode of a bad file is checked, too.
    files.write("bad.key_secret", "secret-key = x\n", 0o644);
    let expected = ["bad.key_secret bad-file", "bad.key_secret loose-mode", "bad.key_secret:1 bad-line"];
    assert_eq!(files.codes(&["bad.key_secret"], 1), expected);
}

#[test]
fn the_directory_of_a_certificate_is_checked_once() {
    let files = Files::new();
    files.pair("etc", "server", &certificate());
    files.chmod("etc", 0o777);
    assert_eq!(files.codes(&["etc/server.key", "etc/server.key_secret"], 1), ["etc loose-mode"]);
    files.chmod("etc", 0o1777);
    assert!(files.codes(&["etc/server.key", "etc/server.key_secret"], 0).is_empty());
}

#[test]
fn a_name_has_to_fit_the_content() {
    let files = Files::new();
    files.pair(".", "alice", &certificate());
    let read = |name: &str| std::fs::read(files.path().join(name)).unwrap();
    files.write("bob.key", read("alice.key_secret"), 0o600);
    files.write("carol.key_secret", read("alice.key"), 0o600);
    files.write("dora.pub", read("alice.key"), 0o644);
    assert_eq!(files.codes(&["bob.key"], 1), ["bob.key secret-in-public"]);
    assert_eq!(files.codes(&["carol.key_secret"], 1), ["carol.key_secret no-secret"]);
    assert_eq!(files.codes(&["dora.pub"], 0), ["dora.pub other-name?"]);
}

#[test]
fn mismatched_public_and_secret_files_are_reported() {
    let files = Files::new();
    files.pair("mine", "alice", &certificate());
    files.public("server", "alice", &certificate());
    assert_eq!(files.codes(&["mine/alice.key_secret", "mine/alice.key"], 0), [""; 0]);
    let expected = ["mine/alice.key_secret other-half"];
    assert_eq!(files.codes(&["mine/alice.key_secret", "server/alice.key"], 1), expected);
    assert!(files.lint(&["server", "mine/alice.key_secret"], 1)[0].text.contains("server/alice.key"));

    let line = |file: &str, key: &str| {
        let content = std::fs::read_to_string(files.path().join(file)).unwrap();
        content.lines().find(|line| line.trim().starts_with(key)).unwrap().to_owned()
    };
    let mixed = [line("server/alice.key", "public-key"), line("mine/alice.key_secret", "secret-key")].join("\n");
    files.write("mixed.key_secret", mixed, 0o600);
    assert_eq!(files.codes(&["mixed.key_secret"], 1), ["mixed.key_secret not-a-pair"]);
}

#[test]
fn times_are_compared_with_now_and_soon() {
    let files = Files::new();
    let of = |name: &str, key: &str, value: &str| {
        files.public(".", name, &certificate().with_metadata(key, value).unwrap());
        format!("{name}.key")
    };
    for (name, key, value, expected) in [
        ("a", "not-after", days_from_now(-1), Some(("expired", 1))),
        ("b", "not-after", days_from_now(20), Some(("expires-soon?", 0))),
        ("c", "not-after", days_from_now(40), None),
        ("d", "not-before", days_from_now(2), Some(("not-yet-valid?", 0))),
        ("e", "not-before", days_from_now(-2), None),
        ("f", "not-after", "soon".to_owned(), Some(("bad-time", 1))),
        ("g", "not-before", "2026-01-01".to_owned(), Some(("bad-time", 1))),
    ] {
        let file = of(name, key, &value);
        let codes: Vec<String> = expected.iter().map(|(code, _)| format!("{file} {code}")).collect();
        assert_eq!(files.codes(&[&file], expected.map_or(0, |(_, exit)| exit)), codes);
    }
    assert_eq!(files.codes(&["c.key", "--soon", "50d"], 0), ["c.key expires-soon?"]);
    assert!(files.codes(&["b.key", "--soon", "1d"], 0).is_empty());
    let never = certificate().with_metadata("not-after", days_from_now(50)).unwrap();
    files.public(".", "never", &never.with_metadata("not-before", days_from_now(60)).unwrap());
    assert_eq!(files.codes(&["never.key"], 1), ["never.key bad-time"]);
}
