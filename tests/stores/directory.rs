//! Key directories that are reloaded on demand.

use std::fs;
use std::os::unix::fs::symlink;

use zmq_auth::{Authenticator, CURVE_ALLOW_ANY, Error, EventKind, KeyDirectory};

use crate::files::{Store, all, certificate, key, replace, write};
use crate::harness::{domain, zap};

#[test]
fn added_changed_removed_and_replaced_files_are_in_force_after_a_reload() {
    let store = Store::of(|dir| (1..=3).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number))));
    assert_eq!(store.keys.status().entries, 3);
    assert!(store.accepts(&key(1)) && !store.accepts(&key(4)));

    write(&store.path("4.key"), &key(4));
    assert!(!store.accepts(&key(4)), "not before the reload");
    assert_eq!(store.reload(), (1, 0, 0));
    assert!(store.accepts(&key(4)));

    write(&store.path("1.key"), &key(11));
    replace(&store.path("2.key"), &certificate(&key(12), &[]));
    assert_eq!(store.reload(), (0, 2, 0));
    assert_eq!([1, 2, 11, 12].map(|number| store.accepts(&key(number))), [false, false, true, true]);

    fs::remove_file(store.path("3.key")).unwrap();
    fs::rename(store.path("4.key"), store.path("four.key")).unwrap();
    assert_eq!(store.reload(), (1, 0, 2));
    assert_eq!([3, 4].map(|number| store.accepts(&key(number))), [false, true]);

    let status = store.keys.status();
    assert_eq!((status.entries, status.files, status.reloads), (3, 3, 4));
    assert!(status.last_reload.is_some() && status.problems.is_empty());
}

#[test]
fn two_files_with_one_key_are_one_key_until_the_last_is_gone() {
    let store = Store::of(|dir| {
        write(&dir.join("a.key"), &key(1));
        fs::write(dir.join("b.key"), certificate(&key(1), &[("name", "Bob")])).unwrap();
        fs::write(dir.join("c.key"), certificate(&key(1), &[("name", "Carol")])).unwrap();
    });
    assert_eq!(store.keys.status().entries, 1);
    let holds = |name: &str| String::from_utf8_lossy(&store.metadata(&key(1))).contains(name);
    assert!(holds("Bob") && !holds("Carol"), "of the first file that says anything");
    fs::remove_file(store.path("b.key")).unwrap();
    assert_eq!(store.reload(), (0, 0, 1));
    assert!(holds("Carol"));
    fs::remove_file(store.path("c.key")).unwrap();
    store.reload();
    assert!(store.metadata(&key(1)).is_empty());
    fs::remove_file(store.path("a.key")).unwrap();
    store.reload();
    assert!(!store.accepts(&key(1)));
}

#[test]
fn a_few_changes_among_many_files_are_all_in_force() {
    let store = Store::of(|dir| {
        (0..100).for_each(|number| write(&dir.join(format!("{number:03}.key")), &key(number)));
        write(&dir.join("x.key"), &key(50));
    });
    assert_eq!(store.keys.status().entries, 100);
    fs::remove_file(store.path("001.key")).unwrap();
    replace(&store.path("002.key"), &certificate(&key(2), &[("name", "Bob")]));
    write(&store.path("003.key"), &key(103));
    write(&store.path("104.key"), &key(104));
    fs::remove_file(store.path("050.key")).unwrap();
    assert_eq!(store.reload(), (1, 2, 2));
    let there = |numbers: &[u32]| numbers.iter().map(|number| store.accepts(&key(*number))).collect::<Vec<_>>();
    assert_eq!(there(&[0, 1, 2, 3, 4, 50, 103, 104]), [true, false, true, false, true, true, true, true]);
    assert!(String::from_utf8_lossy(&store.metadata(&key(2))).contains("Bob"));
    fs::remove_file(store.path("x.key")).unwrap();
    assert_eq!(store.reload(), (0, 0, 1));
    assert_eq!(there(&[49, 50, 51]), [true, false, true], "its last file is gone");
    assert_eq!(store.keys.status().entries, 99);
}

#[test]
fn a_key_moves_from_one_file_to_another_in_one_reload() {
    let store = Store::of(|dir| {
        write(&dir.join("a.key"), &key(1));
        write(&dir.join("b.key"), &key(2));
    });
    write(&store.path("a.key"), &key(2));
    write(&store.path("b.key"), &key(1));
    assert_eq!(store.reload(), (0, 2, 0));
    assert!(store.accepts(&key(1)) && store.accepts(&key(2)));
}

#[test]
fn metadata_that_changes_is_sent() {
    let store = Store::of(|dir| {
        // Enough others that one change is made in place.
        (100..200).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number)));
        fs::write(dir.join("a.key"), certificate(&key(1), &[("role", "reader")])).unwrap();
    });
    assert_eq!(store.metadata(&key(1)), b"\x04role\0\0\0\x06reader");
    fs::write(store.path("a.key"), certificate(&key(1), &[("role", "writer")])).unwrap();
    assert_eq!(store.reload(), (0, 1, 0));
    assert_eq!(store.metadata(&key(1)), b"\x04role\0\0\0\x06writer");
    write(&store.path("a.key"), &key(1));
    assert_eq!(store.reload(), (0, 1, 0));
    assert!(store.metadata(&key(1)).is_empty());
}

#[test]
fn symbolic_links_are_followed_and_swapped() {
    let store = Store::of(|dir| {
        for (release, number) in [("..2026_01", 1), ("..2026_02", 2)] {
            fs::create_dir(dir.join(release)).unwrap();
            write(&dir.join(release).join("a.key"), &key(number));
        }
        symlink("..2026_01", dir.join("..data")).unwrap();
        symlink("..data/a.key", dir.join("a.key")).unwrap();
    });
    assert!(store.accepts(&key(1)));
    store.settle();
    symlink("..2026_02", store.path("..new")).unwrap();
    fs::rename(store.path("..new"), store.path("..data")).unwrap();
    assert_eq!(store.reload(), (0, 1, 0));
    assert_eq!([1, 2].map(|number| store.accepts(&key(number))), [false, true]);
}

#[test]
fn a_store_may_serve_many_domains_and_authenticators() {
    let store = Store::of(|dir| write(&dir.join("a.key"), &key(1)));
    let (other, name) = (Authenticator::new(), domain("store"));
    other.configure_curve_store("*", &store.keys).unwrap();
    store.auth.configure_curve_store(&name, &store.keys.clone()).unwrap();
    write(&store.path("b.key"), &key(2));
    store.reload();
    assert!(store.accepts(&key(2)));
    assert_eq!((zap::curve(&store.auth, &name, &key(2)), zap::curve(&other, "any", &key(2))), (200, 200));
    assert!(store.auth.remove_domain(&name));
    assert_eq!((zap::curve(&store.auth, &name, &key(2)), zap::curve(&other, "any", &key(2))), (400, 200));
}

#[test]
fn single_keys_are_not_added_to_a_live_store_but_to_one_that_is_read_once() {
    let store = Store::of(|dir| write(&dir.join("a.key"), &key(1)));
    let errors = [
        store.auth.add_curve_key(&store.domain, key(2)).unwrap_err(),
        store.auth.remove_curve_key(&store.domain, &key(1)).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::NoKeySet { source_kind: "a key directory", .. }), "{error}");
    }
    assert!(store.accepts(&key(1)) && !store.accepts(&key(2)));

    store.auth.configure_curve(&store.domain, store.dir.path()).unwrap();
    store.auth.add_curve_key(&store.domain, key(2)).unwrap();
    assert!(store.auth.remove_curve_key(&store.domain, &key(1)).unwrap());
    assert!(!store.accepts(&key(1)) && store.accepts(&key(2)));
    write(&store.path("c.key"), &key(3));
    store.keys.reload().unwrap();
    assert!(!store.accepts(&key(3)), "the directory was read once");
    store.auth.configure_curve(&store.domain, CURVE_ALLOW_ANY).unwrap();
    assert!(store.accepts(&key(99)));
}

#[test]
fn a_relative_path_stays_what_it_was() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let relative = std::path::Path::new(dir.path().file_name().unwrap());
    let keys = KeyDirectory::open(relative).unwrap();
    assert!(keys.path().is_absolute());
    assert_eq!(keys.path(), std::path::absolute(relative).unwrap());
}

#[test]
fn a_reload_that_changed_something_is_published_once() {
    let store = Store::of(|dir| write(&dir.join("1.key"), &key(1)));
    let events = store.auth.events(100);
    store.reload();
    assert_eq!(all(&events), [], "nothing has changed");

    write(&store.path("2.key"), &key(2));
    store.reload();
    store.reload();
    let [event] = &all(&events)[..] else { panic!("one event") };
    let path = store.dir.path().display();
    assert_eq!(event.kind, EventKind::Reloaded);
    assert_eq!(event.reason, format!("{path}: 1 certificates added, 0 changed, 0 removed"));

    fs::write(store.path("2.key"), "public-key = zanzibar").unwrap();
    store.reload();
    store.reload();
    let [event] = &all(&events)[..] else { panic!("one event") };
    assert_eq!(event.kind, EventKind::ReloadFailed);
    assert!(event.reason.starts_with(&format!("{path}/2.key:1: ")), "{}", event.reason);

    fs::remove_dir_all(&store.dir).unwrap();
    store.keys.reload().unwrap_err();
    store.keys.reload().unwrap_err();
    let [event, behind] = &all(&events)[..] else { panic!("two events") };
    assert!(event.kind == EventKind::ReloadFailed && event.reason.starts_with(&format!("{path}: ")), "{event:?}");
    assert_eq!(behind.kind, EventKind::StoreBehind);
    assert!(behind.reason.starts_with(&format!("{path}: ")), "{behind:?}");
    assert!(store.keys.status().behind_since.is_some());
    fs::create_dir(&store.dir).unwrap();
    store.reload();
    assert_eq!(all(&events).last().unwrap().kind, EventKind::StoreCaughtUp);
    assert_eq!(store.keys.status().behind_since, None);
}

#[test]
fn a_source_that_was_replaced_publishes_nothing_more() {
    let store = Store::of(|_| {});
    let events = store.auth.events(100);
    store.auth.configure_curve_keys(&store.domain, [key(1)]).unwrap();
    write(&store.path("2.key"), &key(2));
    assert_eq!(store.reload(), (1, 0, 0));
    assert_eq!(all(&events), []);
}
