//! Bad files and missing directories: the error, and what stays accepted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use zmq_auth::{Error, KeyDirectory};

use crate::files::{LOG, Store, certificate, key, write};
use crate::harness::log;

const SHORT: &str = "curve\n    public-key = \"short\"\n";

/// Errors in the log about a file.
fn errors_about(file: &Path) -> usize {
    let name = file.display().to_string();
    log::records(|record| record.level == ::log::Level::Error && record.text.contains(&name)).len()
}

#[test]
fn at_the_first_reading_a_bad_file_is_an_error_that_names_it() {
    log::install();
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.key"), &key(1));
    fs::write(dir.path().join("c.key"), "").unwrap();
    fs::write(dir.path().join("b.key"), SHORT).unwrap();
    match KeyDirectory::open(&dir) {
        Err(Error::Certificate { path, line, .. }) => assert_eq!((path, line), (dir.path().join("b.key"), Some(2))),
        other => panic!("{other:?}"),
    }
    let missing = dir.path().join("missing");
    assert!(matches!(KeyDirectory::open(&missing), Err(Error::Io { path, .. }) if path == missing));
}

#[test]
fn a_bad_file_among_good_ones_stays_what_it_was() {
    let _log = LOG.write();
    let store = Store::of(|dir| (1..=3).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number))));
    let secret = "tops3cret-zanzibar-line";
    log::secret(secret);
    fs::write(store.path("2.key"), format!("{SHORT}secret-key = \"{secret}\"\n")).unwrap();
    fs::write(store.path("new.key"), "nothing").unwrap();
    write(&store.path("4.key"), &key(4));
    let reload = store.keys.reload().unwrap();
    assert_eq!((reload.added, reload.changed, reload.removed, reload.problems), (1, 0, 0, 2));
    assert_eq!([1, 2, 3, 4].map(|number| store.accepts(&key(number))), [true; 4]);

    let status = store.keys.status();
    assert_eq!((status.entries, status.files), (4, 5));
    let [bad, new] = &status.problems[..] else { panic!("{status:?}") };
    assert_eq!((&bad.file, bad.line), (&store.path("2.key"), Some(2)));
    assert_eq!((&new.file, new.line), (&store.path("new.key"), None));
    assert!(bad.to_string().starts_with(&format!("{}:2: ", bad.file.display())) && !bad.to_string().contains(secret));

    // Logged once; still listed after a reload that doesn't read it.
    store.settle();
    assert_eq!((errors_about(&bad.file), errors_about(&new.file)), (1, 1));
    assert_eq!(store.keys.status().problems.len(), 2);
    assert!(store.accepts(&key(2)));

    // Bad in another way, and good again.
    fs::write(store.path("2.key"), "").unwrap();
    store.reload();
    assert_eq!(errors_about(&bad.file), 2);
    assert!(store.accepts(&key(2)));
    write(&store.path("2.key"), &key(22));
    write(&store.path("new.key"), &key(5));
    assert_eq!(store.reload(), (1, 1, 0));
    assert!(store.keys.status().problems.is_empty());
    assert_eq!([2, 22, 5].map(|number| store.accepts(&key(number))), [false, true, true]);
}

#[test]
fn a_bad_file_that_is_removed_takes_its_last_key_with_it() {
    let store = Store::of(|dir| write(&dir.join("1.key"), &key(1)));
    fs::write(store.path("1.key"), SHORT).unwrap();
    store.reload();
    assert!(store.accepts(&key(1)));
    fs::remove_file(store.path("1.key")).unwrap();
    assert_eq!(store.reload(), (0, 0, 1));
    assert!(!store.accepts(&key(1)) && store.keys.status().problems.is_empty());
}

#[test]
fn a_path_that_is_not_a_file_is_a_problem_and_blocks_nothing() {
    let store = Store::of(|dir| {
        fs::write(dir.join("elsewhere"), certificate(&key(1), &[])).unwrap();
        symlink("elsewhere", dir.join("link.key")).unwrap();
        write(&dir.join("2.key"), &key(2));
    });
    fs::remove_file(store.path("elsewhere")).unwrap();
    fs::create_dir(store.path("directory.key")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(store.path("fifo.key")).status().unwrap();
    assert!(fifo.success());
    fs::write(store.path("large.key"), vec![b'\n'; 64 * 1024 + 1]).unwrap();
    let reload = store.keys.reload().unwrap();
    assert_eq!((reload.added, reload.removed, reload.problems), (0, 0, 4));
    assert!(store.accepts(&key(1)), "a link to nowhere is a bad file");
    assert!(store.accepts(&key(2)));
    assert_eq!(store.keys.status().entries, 2);
}

#[test]
fn a_directory_that_vanishes_keeps_its_keys_and_is_read_when_it_is_back() {
    let _log = LOG.write();
    let store = Store::of(|dir| {
        fs::create_dir(dir.join("keys")).unwrap();
        write(&dir.join("keys/1.key"), &key(1));
    });
    let path = store.path("keys");
    let keys = KeyDirectory::open(&path).unwrap();
    store.auth.configure_curve_store(&store.domain, &keys).unwrap();
    fs::rename(&path, path.with_extension("old")).unwrap();
    for attempt in 0..4 {
        // A file at its path can't be listed either.
        if attempt == 2 {
            fs::write(&path, "").unwrap();
        }
        assert!(matches!(keys.reload(), Err(Error::Io { path: named, .. }) if named == path));
        assert!(store.accepts(&key(1)));
        let status = keys.status();
        assert_eq!((status.entries, status.problems.len()), (1, 1));
        assert_eq!(status.problems[0].file, path);
        assert_eq!(errors_about(&path), 1 + attempt / 2, "each told once");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    write(&path.join("2.key"), &key(2));
    let reload = keys.reload().unwrap();
    assert_eq!((reload.added, reload.removed), (1, 1));
    assert!(keys.status().problems.is_empty());
    assert!(store.accepts(&key(2)) && !store.accepts(&key(1)));
}

#[test]
fn a_flood_of_bad_files_does_not_flood_the_log() {
    let _log = LOG.write();
    let store = Store::of(|_| {});
    (0..200).for_each(|number| fs::write(store.path(&format!("{number}.key")), SHORT).unwrap());
    assert_eq!(store.keys.reload().unwrap().problems, 200);
    assert_eq!(store.keys.status().problems.len(), 200);
    let logged = errors_about(store.dir.path());
    assert!((2..=30).contains(&logged), "{logged}");
    let more = format!("{}: 180 more", store.dir.path().display());
    assert_eq!(log::records(|record| record.text.contains(&more)).len(), 1);
}
