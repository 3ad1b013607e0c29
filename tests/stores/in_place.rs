//! Files that are rewritten in place, in more than one step: a half-written file isn't used.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use zmq_auth::{Error, PasswordFile};

use crate::files::{Store, key};
use crate::harness::wait_until;
use crate::passwords::Users;

/// Writes the first part in place; the file stays open for the second.
fn begin(file: &Path, part: &str) -> File {
    let mut file = File::create(file).unwrap();
    file.write_all(part.as_bytes()).unwrap();
    file
}

#[test]
fn half_a_password_is_not_taken_by_a_reload() {
    let users = Users::of("alice=the old one\n");
    let mut file = begin(&users.file, "alice=c");
    let reload = users.passwords.reload();
    assert_eq!(users.status("alice", "c"), 400, "half a password is let in; the reload: {reload:?}");
    assert_eq!(users.status("alice", "the old one"), 200);
    assert!(matches!(reload, Err(Error::PasswordFile { line: Some(1), .. })), "{reload:?}");
    file.write_all(b"orrect horse battery\n").unwrap();
    assert_eq!(users.reload(), (0, 1, 0));
    assert_eq!(["c", "correct horse battery"].map(|word| users.status("alice", word)), [400, 200]);
}

#[test]
fn a_last_line_without_a_line_feed_is_taken_once_the_file_is_at_rest() {
    let users = Users::of("alice=one");
    assert_eq!(users.status("alice", "one"), 200, "at the opening");
    users.passwords.reload().expect("nothing would change");
    fs::write(&users.file, "alice=two").unwrap();
    users.passwords.reload().unwrap_err();
    wait_until("the file is at rest", || users.passwords.reload().is_ok());
    assert_eq!(["one", "two"].map(|word| users.status("alice", word)), [400, 200]);
    assert!(PasswordFile::open(&users.file).is_ok());
}

#[test]
fn half_a_certificate_is_not_taken_by_a_reload() {
    let head = format!("curve\n    public-key = \"{}\"\nmetadata\n", key(1));
    let store = Store::of(|dir| {
        fs::write(dir.join("1.key"), format!("{head}    not-after = \"2020-01-01T00:00:00Z\"\n")).unwrap();
    });
    assert!(!store.accepts(&key(1)), "expired");
    let mut file = begin(&store.path("1.key"), &format!("{head}    n"));
    store.keys.reload().unwrap();
    assert!(!store.accepts(&key(1)), "half a certificate is in force");
    assert_eq!(store.keys.status().problems.len(), 1);
    file.write_all(b"ot-after = \"2020-01-01T00:00:00Z\"\n").unwrap();
    store.keys.reload().unwrap();
    assert!(!store.accepts(&key(1)) && store.keys.status().problems.is_empty());
}

#[cfg(feature = "watch")]
#[test]
fn a_watched_file_that_is_written_in_two_steps_is_taken_when_it_is_whole() {
    let users = Users::of("alice=the old one\n");
    users.passwords.watch().unwrap();
    let before = users.passwords.status().reloads;
    let mut file = begin(&users.file, "alice=c");
    let mut let_in = false;
    wait_until("it was looked at twice", || {
        let_in |= users.status("alice", "c") == 200;
        let_in || users.passwords.status().reloads > before + 1
    });
    assert!(!let_in, "half a password is let in");
    file.write_all(b"orrect horse battery\n").unwrap();
    drop(file);
    wait_until("the whole one", || users.status("alice", "correct horse battery") == 200);
    // A file that keeps lacking a line feed is used in the end.
    begin(&users.file, "alice=no line feed");
    wait_until("the one without a line feed", || users.status("alice", "no line feed") == 200);
}
