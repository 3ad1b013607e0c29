//! What listeners hear of reloads.

use std::fs;

use zmq_auth::{Event, EventKind, Events, PasswordFile};

use crate::files::{Store, key, write};

fn all(events: &Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

#[test]
fn a_reload_that_came_to_something_is_told_once() {
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
fn a_source_that_was_replaced_tells_nothing_more() {
    let store = Store::of(|_| {});
    let events = store.auth.events(100);
    store.auth.configure_curve_keys(&store.domain, [key(1)]).unwrap();
    write(&store.path("2.key"), &key(2));
    assert_eq!(store.reload(), (1, 0, 0));
    assert_eq!(all(&events), []);
}

#[test]
fn password_files_tell_too() {
    let store = Store::of(|_| {});
    let path = store.path("passwords");
    fs::write(&path, "alice=zanzibar 1\n").unwrap();
    let passwords = PasswordFile::open(&path).unwrap();
    store.auth.configure_plain_file(&store.domain, &passwords).unwrap();
    let events = store.auth.events(100);
    fs::write(&path, "alice=zanzibar 2\nbob=zanzibar 3\n").unwrap();
    passwords.reload().unwrap();
    fs::write(&path, "alice=zanzibar 2\nbob\n").unwrap();
    passwords.reload().unwrap_err();
    let told: Vec<_> = all(&events).into_iter().map(|event| (event.kind, event.reason)).collect();
    let path = path.display();
    assert_eq!(told[0], (EventKind::Reloaded, format!("{path}: 1 users added, 1 changed, 0 removed")));
    assert!(told[1].0 == EventKind::ReloadFailed && told[1].1.starts_with(&format!("{path}:2: ")), "{told:?}");
    assert_eq!(told.len(), 2);
}
