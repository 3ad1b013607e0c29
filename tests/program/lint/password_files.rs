//! Password files.

use super::Files;

#[test]
fn every_bad_line_is_reported_without_its_content() {
    let files = Files::new();
    let content =
        "# users\r\nalice=SECRETWORD\r\nSECRETWORD\r\n=SECRETWORD\r\nalice=again\r\nbob=\r\ncarol=$2y$SECRETWORD";
    files.write("users", content, 0o600);
    let expected = [3, 4, 5, 6, 7].map(|line| format!("users:{line} bad-line"));
    assert_eq!(files.codes(&["users"], 1), expected);
    let found = files.lint(&["--passwords", "users"], 1);
    assert_eq!(found.iter().map(super::Found::shown).collect::<Vec<_>>(), expected);
    assert!(found.iter().all(|problem| !problem.text.contains("SECRETWORD")));
}

#[test]
fn modes_of_the_file_and_its_directory_are_checked() {
    let files = Files::new();
    files.write("etc/users", "alice=secret\n", 0o600);
    assert!(files.codes(&["etc/users"], 0).is_empty());
    files.chmod("etc/users", 0o640);
    assert_eq!(files.codes(&["etc/users"], 1), ["etc/users loose-mode"]);
    files.chmod("etc/users", 0o600);
    files.chmod("etc", 0o777);
    assert_eq!(files.codes(&["etc/users"], 1), ["etc loose-mode"]);
    // Like /tmp.
    files.chmod("etc", 0o1777);
    assert!(files.codes(&["etc/users"], 0).is_empty());
}

#[test]
fn a_file_without_users_is_warned_about() {
    let files = Files::new();
    files.write("users", "# nobody\n", 0o600);
    assert_eq!(files.codes(&["users"], 0), ["users no-users?"]);
    assert_eq!(files.codes(&["missing"], 1), ["missing unreadable"]);
}

#[test]
fn a_password_file_may_be_named_as_a_certificate() {
    let files = Files::new();
    files.write("users.key", "alice=secret\n", 0o600);
    assert_eq!(files.codes(&["users.key"], 1), ["users.key bad-file"]);
    assert!(files.codes(&["--passwords", "users.key"], 0).is_empty());
}
