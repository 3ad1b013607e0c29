//! Stores that follow the disk by themselves: real files, real events, real time.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::RwLock;
use std::time::{Duration, Instant};

use zmq_auth::{EventKind, Events, KeyDirectory, PasswordFile};

use crate::files::{Store, certificate, key, replace, write};
use crate::harness::DEADLINE;
use crate::passwords::Users;

/// Held for reading by tests that have a watch thread; for writing by tests that count threads.
static THREADS: RwLock<()> = RwLock::new(());

/// A store that watches.
struct Watched {
    store: Store,
    events: Events,
}

impl Watched {
    fn of(fill: impl FnOnce(&Path)) -> Self {
        let store = Store::of(fill);
        store.keys.watch().unwrap();
        let events = store.auth.events(100_000);
        Watched { store, events }
    }

    /// Changes something and waits until it is applied.
    #[track_caller]
    fn change(&self, what: &str, change: impl FnOnce(&Path), in_force: impl Fn(&Store) -> bool) {
        assert!(!in_force(&self.store), "{what}: in force before it was made");
        let start = Instant::now();
        change(self.store.dir.path());
        wait_for(&self.events, what, start, || in_force(&self.store));
    }
}

/// Every applied change is published as an event; other events come from the test's own requests.
#[track_caller]
fn wait_for(events: &Events, what: &str, start: Instant, in_force: impl Fn() -> bool) {
    while !in_force() {
        let is_told = |kind| matches!(kind, EventKind::Reloaded | EventKind::ReloadFailed);
        while {
            let event = events.next_timeout(DEADLINE.saturating_sub(start.elapsed()));
            assert!(start.elapsed() < DEADLINE, "{what}: not in force within {DEADLINE:?}");
            event.is_none_or(|event| !is_told(event.kind))
        } {}
    }
    println!("{what}: in force after {:?}", start.elapsed());
}

#[test]
fn added_changed_replaced_and_removed_files() {
    let _threads = THREADS.read();
    let watched = Watched::of(|dir| (1..=3).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number))));
    assert!(watched.store.keys.status().watched);
    let accepts = |number| move |store: &Store| store.accepts(&key(number));
    watched.change("added", |dir| write(&dir.join("4.key"), &key(4)), accepts(4));
    watched.change("changed in place", |dir| write(&dir.join("1.key"), &key(11)), accepts(11));
    let content = certificate(&key(12), &[]);
    watched.change("replaced", |dir| replace(&dir.join("2.key"), &content), accepts(12));
    watched.change("removed", |dir| fs::remove_file(dir.join("3.key")).unwrap(), |store| !store.accepts(&key(3)));
    let content = certificate(&key(4), &[("role", "writer")]);
    watched.change(
        "other metadata",
        |dir| replace(&dir.join("4.key"), &content),
        |store| store.metadata(&key(4)) == b"\x04role\0\0\0\x06writer",
    );
    assert_eq!([1, 2].map(|number| watched.store.accepts(&key(number))), [false; 2]);
}

#[test]
fn changes_between_opening_and_watching_apply() {
    let _threads = THREADS.read();
    let store = Store::of(|dir| write(&dir.join("1.key"), &key(1)));
    write(&store.path("2.key"), &key(2));
    store.keys.watch().unwrap();
    assert!(store.accepts(&key(2)));
    store.keys.watch().unwrap();
}

#[test]
fn a_bad_file_among_good_ones() {
    let _threads = THREADS.read();
    let watched = Watched::of(|dir| (1..=2).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number))));
    watched.change(
        "bad",
        |dir| fs::write(dir.join("1.key"), "nothing").unwrap(),
        |store| store.keys.status().problems.len() == 1,
    );
    watched.change("good beside bad", |dir| write(&dir.join("3.key"), &key(3)), |store| store.accepts(&key(3)));
    assert!(watched.store.accepts(&key(1)) && watched.store.accepts(&key(2)));
    watched.change("good again", |dir| write(&dir.join("1.key"), &key(11)), |store| store.accepts(&key(11)));
    assert!(watched.store.keys.status().problems.is_empty());
}

#[test]
fn a_thousand_changes_at_once() {
    let _threads = THREADS.read();
    let watched = Watched::of(|_| {});
    let write_all = |dir: &Path| (0..1_000).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number)));
    watched.change("a thousand", write_all, |store| store.keys.status().entries == 1_000);
    let before = watched.store.keys.status().reloads;
    assert!(before < 200, "{before} reloads for one burst");
}

#[test]
fn a_link_that_is_swapped_and_a_file_behind_a_link() {
    let _threads = THREADS.read();
    let outside = tempfile::tempdir().unwrap();
    let target = outside.path().join("target");
    write(&target, &key(3));
    let watched = Watched::of(|dir| {
        for (release, number) in [("..1", 1), ("..2", 2)] {
            fs::create_dir(dir.join(release)).unwrap();
            write(&dir.join(release).join("a.key"), &key(number));
        }
        symlink("..1", dir.join("..data")).unwrap();
        symlink("..data/a.key", dir.join("a.key")).unwrap();
        symlink(&target, dir.join("b.key")).unwrap();
    });
    let swap = |dir: &Path| {
        symlink("..2", dir.join("..new")).unwrap();
        fs::rename(dir.join("..new"), dir.join("..data")).unwrap();
    };
    watched.change("swapped", swap, |store| store.accepts(&key(2)) && !store.accepts(&key(1)));
    watched.change("behind a link", |_| write(&target, &key(4)), |store| store.accepts(&key(4)));
    watched.change(
        "replaced behind a link",
        |_| replace(&target, &certificate(&key(5), &[])),
        |store| store.accepts(&key(5)),
    );
}

#[test]
fn a_directory_that_vanishes_and_comes_back() {
    let _threads = THREADS.read();
    let parent = Store::of(|dir| {
        fs::create_dir(dir.join("keys")).unwrap();
        write(&dir.join("keys/1.key"), &key(1));
    });
    let path = parent.path("keys");
    let keys = KeyDirectory::open(&path).unwrap();
    keys.watch().unwrap();
    parent.auth.configure_curve_store(&parent.domain, &keys).unwrap();
    let watched = Watched { events: parent.auth.events(100_000), store: parent };
    let problems = |number| {
        let keys = keys.clone();
        move |_: &Store| keys.status().problems.len() == number
    };
    let accepts = |number| move |store: &Store| store.accepts(&key(number));

    watched.change("removed with all in it", |_| fs::remove_dir_all(&path).unwrap(), problems(1));
    // In between, its files were removed one by one, and that was a change like any other.
    let come_back = |number: u32| {
        let path = path.clone();
        move |_: &Path| {
            fs::create_dir(&path).unwrap();
            write(&path.join(format!("{number}.key")), &key(number));
        }
    };
    watched.change("back", come_back(2), accepts(2));
    watched.change("changed after it was back", |_| write(&path.join("2.key"), &key(3)), accepts(3));
    assert!(keys.status().problems.is_empty());

    let away = path.with_extension("away");
    watched.change("renamed", |_| fs::rename(&path, &away).unwrap(), problems(1));
    assert!(watched.store.accepts(&key(3)), "its keys stay in force");
    watched.change("another in its place", come_back(4), accepts(4));
    watched.change("changed in its place", |_| write(&path.join("4.key"), &key(5)), accepts(5));
    // What happens to the old one doesn't matter.
    write(&away.join("6.key"), &key(6));

    let swap = |_: &Path| {
        fs::rename(&path, path.with_extension("third")).unwrap();
        fs::rename(&away, &path).unwrap();
    };
    watched.change("exchanged at once", swap, accepts(6));
    watched.change("changed after the exchange", |_| write(&path.join("6.key"), &key(7)), accepts(7));
    assert!(!watched.store.accepts(&key(5)));
}

#[test]
fn password_files_in_place_replaced_gone_and_back() {
    let _threads = THREADS.read();
    let users = Users::of("alice=one\n");
    users.passwords.watch().unwrap();
    let events = users.auth.events(100_000);
    let change = |what: &str, change: &dyn Fn(), user: &str, word: &str| {
        assert_eq!(users.status(user, word), 400);
        let start = Instant::now();
        change();
        wait_for(&events, what, start, || users.status(user, word) == 200);
    };
    change("written in place", &|| fs::write(&users.file, "alice=two\n").unwrap(), "alice", "two");
    change("replaced", &|| replace(&users.file, "alice=three\n"), "alice", "three");
    let start = Instant::now();
    fs::write(&users.file, "alice\n").unwrap();
    wait_for(&events, "bad", start, || users.passwords.status().problems.len() == 1);
    assert_eq!(users.status("alice", "three"), 200);
    fs::remove_file(&users.file).unwrap();
    wait_for(&events, "gone", start, || users.passwords.status().problems.iter().any(|problem| problem.line.is_none()));
    assert_eq!(users.status("alice", "three"), 200);
    change("back", &|| fs::write(&users.file, "alice=four\n").unwrap(), "alice", "four");
    assert!(users.passwords.status().problems.is_empty());

    // A link to a file in another directory.
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    let link = || {
        fs::write(&target, "alice=five\n").unwrap();
        fs::remove_file(&users.file).unwrap();
        symlink(&target, &users.file).unwrap();
    };
    change("a link", &link, "alice", "five");
    change("behind the link", &|| fs::write(&target, "alice=six\n").unwrap(), "alice", "six");
    drop(PasswordFile::clone(&users.passwords));
}

#[test]
fn a_directory_at_rest_is_left_alone() {
    let _threads = THREADS.read();
    let watched = Watched::of(|dir| write(&dir.join("1.key"), &key(1)));
    watched.change("added", |dir| write(&dir.join("2.key"), &key(2)), |store| store.accepts(&key(2)));
    // Reading isn't a change, in particular our own, or it would never end. The rest of the change still arrives.
    let mut last = watched.store.keys.status().reloads;
    let mut quiet_since = Instant::now();
    let start = Instant::now();
    while quiet_since.elapsed() < Duration::from_secs(1) {
        assert!(start.elapsed() < DEADLINE, "it never rests: {last} reloads");
        fs::read(watched.store.path("1.key")).unwrap();
        let now = watched.store.keys.status().reloads;
        if now != last {
            (last, quiet_since) = (now, Instant::now());
        }
        std::thread::yield_now();
    }
}

/// The watch threads of this process.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("zmq-auth-watch") || name.starts_with("notify-rs")).count()
}

#[test]
fn the_threads_end_with_the_last_handle() {
    let _alone = THREADS.write();
    crate::harness::wait_until("no thread is left of others", || threads() == 0);
    let users = Users::of("alice=one\n");
    users.passwords.watch().unwrap();
    let watched = Watched::of(|dir| write(&dir.join("1.key"), &key(1)));
    crate::harness::wait_until("there are two for each store", || threads() == 4);
    let Watched { store, .. } = watched;
    let Store { dir, keys, auth, domain } = store;
    drop(keys);
    assert_eq!(threads(), 4, "the authenticator has a handle");
    let start = Instant::now();
    auth.remove_domain(&domain);
    assert!(start.elapsed() < Duration::from_secs(5), "it waited for the thread's next look at the disk");
    crate::harness::wait_until("the threads have ended", || threads() == 2);
    drop((dir, auth, users));
    crate::harness::wait_until("the threads have ended", || threads() == 0);
}
