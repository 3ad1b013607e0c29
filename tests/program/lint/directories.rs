//! Directories of certificates: names, duplicates, secrets, modes.

use std::os::unix::fs::symlink;

use super::{Files, certificate};

#[test]
fn names_that_are_not_read_are_warned_about() {
    let files = Files::new();
    files.public("clients", "alice", &certificate());
    let read = |name: &str| std::fs::read(files.path().join("clients").join(name)).unwrap();
    files.write("clients/.bob.key", read("alice.key"), 0o644);
    files.write("clients/carol.pub", read("alice.key"), 0o644);
    files.write("clients/dora", read("alice.key"), 0o644);
    files.write("clients/more/erna.key", read("alice.key"), 0o644);
    // Where `revoke` puts revoked certificates.
    files.write("clients/revoked/fred.key", read("alice.key"), 0o644);
    let expected = [
        "clients/.bob.key hidden?",
        "clients/carol.pub other-name?",
        "clients/dora other-name?",
        "clients/more subdirectory?",
    ];
    assert_eq!(files.codes(&["clients"], 0), expected);
    assert!(files.lint(&["clients"], 0)[1].text.contains("rename it to NAME.key"));
}

#[test]
fn a_directory_without_certificates_is_warned_about() {
    let files = Files::new();
    files.write("clients/alice", "", 0o644);
    assert_eq!(files.codes(&["clients"], 0), ["clients no-certificates?", "clients/alice other-name?"]);
}

#[test]
fn secrets_among_the_public_files_are_reported() {
    let files = Files::new();
    files.pair("clients", "alice", &certificate());
    files.public("clients", "bob", &certificate());
    let secret = std::fs::read(files.path().join("clients/alice.key_secret")).unwrap();
    files.write("clients/carol.key", secret, 0o644);
    let expected = [
        "clients/alice.key_secret secret-file?",
        "clients/carol.key duplicate-key?",
        "clients/carol.key loose-mode",
        "clients/carol.key secret-in-public",
    ];
    assert_eq!(files.codes(&["clients"], 1), expected);
}

#[test]
fn two_files_with_one_key_in_one_directory_are_reported() {
    let files = Files::new();
    let (alice, bob) = (certificate(), certificate());
    files.public("clients", "alice", &alice);
    files.public("clients", "alice-again", &alice);
    files.public("clients", "bob", &bob);
    files.public("others", "bob", &bob);
    let found = files.lint(&["clients", "others"], 0);
    assert_eq!(found.iter().map(super::Found::shown).collect::<Vec<_>>(), ["clients/alice.key duplicate-key?"]);
    assert!(found[0].text.starts_with("alice-again.key in the same directory"), "{}", found[0].text);
}

#[test]
fn a_directory_that_others_may_change_is_an_error() {
    let files = Files::new();
    files.public("clients", "alice", &certificate());
    for mode in [0o775, 0o757, 0o1777] {
        files.chmod("clients", mode);
        assert_eq!(files.codes(&["clients"], 1), ["clients loose-mode"], "{mode:o}");
    }
    files.chmod("clients", 0o755);
    assert!(files.codes(&["clients"], 0).is_empty());
}

#[test]
fn links_and_other_kinds_of_files_are_checked_as_a_server_reads_them() {
    let files = Files::new();
    files.public("store", "alice", &certificate());
    files.public("clients", "bob", &certificate());
    symlink(files.path().join("store/alice.key"), files.path().join("clients/alice.key")).unwrap();
    assert!(files.codes(&["clients"], 0).is_empty());
    symlink("nowhere", files.path().join("clients/carol.key")).unwrap();
    std::fs::create_dir(files.path().join("clients/dora.key")).unwrap();
    assert_eq!(files.codes(&["clients"], 1), ["clients/carol.key unreadable", "clients/dora.key bad-file"]);
}

#[test]
fn another_owner_is_warned_about() {
    let files = Files::new();
    files.public("clients", "alice", &certificate());
    // Only root can change the owner.
    if std::os::unix::fs::chown(files.path().join("clients/alice.key"), Some(65_533), None).is_ok() {
        let found = files.lint(&["clients"], 0);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].code, "other-owner");
        assert!(found[0].text.contains("user 65533"), "{}", found[0].text);
    }
}

#[test]
fn a_file_name_can_not_forge_a_line() {
    let files = Files::new();
    files.write("clients/a\nb\x1b[2J.key", "", 0o644);
    let outcome = crate::run::run(files.path(), &["lint", "clients"]);
    assert_eq!(outcome.stdout.lines().count(), 2, "{}", outcome.stdout);
    assert!(outcome.stdout.starts_with("clients/a\\nb\\u{1b}[2J.key: error: "), "{}", outcome.stdout);
    assert_eq!(files.lint(&["clients"], 1)[0].file, "clients/a\nb\x1b[2J.key");
}

/// A directory without errors in lint can be opened as a server's; one with an error in its content can't.
#[test]
fn it_agrees_with_the_directory_that_a_server_opens() {
    let good = certificate();
    for (name, content) in [
        ("good", None),
        ("bad line", Some("curve\n    public-key = \"short\"\n".to_owned())),
        ("no key", Some("curve\n".to_owned())),
        ("time", Some(format!("metadata\n    not-after = soon\ncurve\n    public-key = \"{}\"\n", good.public_key()))),
    ] {
        let files = Files::new();
        files.public("clients", "alice", &good);
        if let Some(content) = &content {
            files.write("clients/bob.key", content, 0o644);
        }
        let opened = zmq_auth::KeyDirectory::open(files.path().join("clients"));
        let found = files.lint(&["clients"], i32::from(content.is_some()));
        assert_eq!(opened.is_err(), found.iter().any(|problem| problem.level == "error"), "{name}");
    }
}
