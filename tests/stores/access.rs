//! Warnings about who else could change a store, and about files that don't belong there, each logged once.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zmq_auth::{KeyDirectory, PasswordFile};

use crate::files::{LOG, Store, certificate, key, write};
use crate::harness::log;

fn warnings(about: &Path, saying: &str) -> usize {
    let name = about.display().to_string();
    let is_one = |record: &log::Record| {
        record.level == ::log::Level::Warn && record.text.contains(&name) && record.text.contains(saying)
    };
    log::records(is_one).len()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_secret_certificate_among_the_public_ones_is_named_once() {
    let _log = LOG.write();
    let keys = log::keys();
    let store = Store::of(|dir| write(&dir.join("1.key"), &key(1)));
    let file = store.path("bob.key");
    let secret =
        format!("curve\n    public-key = \"{}\"\n    secret-key = \"{}\"\n", keys.public, *keys.secret.to_z85());
    fs::write(&file, &secret).unwrap();
    chmod(&file, 0o600);
    (0..3).for_each(|_| assert!(store.keys.reload().is_ok()));
    assert!(store.accepts(&keys.public));
    assert_eq!(warnings(&file, "secret key"), 1, "named once");
    // Removed, and back again.
    fs::write(&file, certificate(&keys.public, &[])).unwrap();
    store.reload();
    fs::write(&file, &secret).unwrap();
    store.reload();
    assert_eq!(warnings(&file, "secret key"), 2);
}

#[test]
fn a_certificate_or_a_directory_that_others_may_write_is_named_once() {
    let _log = LOG.write();
    let store = Store::of(|dir| (1..=3).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number))));
    chmod(&store.path("1.key"), 0o664);
    chmod(&store.path("2.key"), 0o646);
    chmod(store.dir.path(), 0o775);
    (0..3).for_each(|_| assert!(store.keys.reload().is_ok()));
    assert_eq!(["1.key", "2.key", "3.key"].map(|name| warnings(&store.path(name), "can change it")), [1, 1, 0]);
    let directory = || warnings(store.dir.path(), "can add and remove");
    assert_eq!(directory(), 1);
    chmod(store.dir.path(), 0o755);
    store.reload();
    chmod(store.dir.path(), 0o1777);
    store.reload();
    assert_eq!(directory(), 2, "a sticky directory takes files of anybody");
    // Also in the first read.
    let again = tempfile::tempdir().unwrap();
    write(&again.path().join("1.key"), &key(1));
    chmod(again.path(), 0o777);
    KeyDirectory::open(&again).unwrap();
    assert_eq!(warnings(again.path(), "can add and remove"), 1);
}

#[test]
fn the_directory_of_a_password_file_that_others_may_write_is_named_once() {
    let _log = LOG.write();
    log::install();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    fs::write(&file, "alice=one\n").unwrap();
    chmod(&file, 0o600);
    chmod(dir.path(), 0o773);
    let passwords = PasswordFile::open(&file).unwrap();
    (0..3).for_each(|_| assert!(passwords.reload().is_ok()));
    assert_eq!(warnings(dir.path(), "can add and remove"), 1);
}

#[test]
fn a_directory_with_other_files_only_says_so() {
    let _log = LOG.write();
    log::install();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("alice.cert"), certificate(&key(1), &[])).unwrap();
    fs::write(dir.path().join("bob.key_secret"), "").unwrap();
    let keys = KeyDirectory::open(&dir).unwrap();
    keys.reload().unwrap();
    assert_eq!(warnings(dir.path(), "2 files, none of which ends in .key"), 1);
    zmq_auth::load_certificates(tempfile::tempdir().unwrap()).unwrap();
    write(&dir.path().join("1.key"), &key(1));
    keys.reload().unwrap();
    assert_eq!(warnings(dir.path(), "none of which ends in .key"), 1);
}
