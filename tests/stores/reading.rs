//! The files that a reload reads again, and those that it skips.

use std::fs::{self, File, FileTimes};
use std::time::{Duration, SystemTime};

use crate::files::{LOG, Store, certificate, key, replace, write};

#[test]
fn one_change_among_ten_thousand_files_reads_one() {
    let _log = LOG.read();
    const FILES: u32 = 10_000;
    let store = Store::of(|dir| (0..FILES).for_each(|n| write(&dir.join(format!("{n}.key")), &key(n))));
    // Read by several threads: none is lost, none is read twice.
    assert_eq!((store.keys.status().entries, store.keys.status().files_read), (10_000, 10_000));
    assert!((0..FILES).all(|number| store.accepts(&key(number))));
    store.settle();

    let before = store.keys.status().files_read;
    write(&store.path("5000.key"), &key(FILES));
    let reload = store.keys.reload().unwrap();
    assert_eq!((reload.read, reload.changed), (1, 1));
    assert_eq!(store.keys.status().files_read, before + 1);
    assert!(store.accepts(&key(FILES)) && !store.accepts(&key(5000)) && store.accepts(&key(5001)));

    fs::remove_file(store.path("77.key")).unwrap();
    replace(&store.path("new.key"), &certificate(&key(FILES + 1), &[]));
    let reload = store.keys.reload().unwrap();
    // The earlier file is still young.
    assert_eq!((reload.read, reload.added, reload.changed, reload.removed), (2, 1, 0, 1));
    assert_eq!(store.keys.status().entries, 10_000);

    // So many changes that the table is rebuilt.
    for number in 2_000..5_000 {
        fs::remove_file(store.path(&format!("{number}.key"))).unwrap();
    }
    assert_eq!(store.reload(), (0, 0, 3_000));
    assert!((2_000..5_000).all(|number| !store.accepts(&key(number))));
    assert!((5_001..FILES).all(|number| store.accepts(&key(number))));
}

#[test]
fn young_files_are_read_until_they_are_old() {
    let store = Store::of(|dir| (1..=3).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number))));
    let reload = store.keys.reload().unwrap();
    assert_eq!((reload.read, reload.changed), (3, 0));
    store.settle();
    assert_eq!(store.keys.reload().unwrap().read, 0);
    assert!(store.accepts(&key(1)), "what isn't read again stays");
}

#[test]
fn a_file_from_the_future_is_always_read() {
    let store = Store::of(|dir| (1..=2).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number))));
    let future = FileTimes::new().set_modified(SystemTime::now() + Duration::from_secs(3600));
    File::options().write(true).open(store.path("1.key")).unwrap().set_times(future).unwrap();
    crate::harness::wait_until("only that one is read", || store.keys.reload().unwrap().read == 1);
    assert_eq!(store.keys.reload().unwrap().read, 1);
}

#[test]
fn a_file_of_the_same_size_and_time_is_read_when_it_was_written() {
    let store = Store::of(|dir| write(&dir.join("1.key"), &key(1)));
    store.settle();
    let before = fs::metadata(store.path("1.key")).unwrap();
    write(&store.path("1.key"), &key(2));
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    File::options().write(true).open(store.path("1.key")).unwrap().set_times(times).unwrap();
    assert_eq!(fs::metadata(store.path("1.key")).unwrap().len(), before.len());
    assert_eq!(store.reload(), (0, 1, 0));
    assert!(store.accepts(&key(2)) && !store.accepts(&key(1)));
}

#[test]
fn content_decides_what_has_changed() {
    let store = Store::of(|dir| write(&dir.join("1.key"), &key(1)));
    store.settle();
    replace(&store.path("1.key"), &format!("# another file\n{}", certificate(&key(1), &[])));
    let reload = store.keys.reload().unwrap();
    assert_eq!((reload.read, reload.changed), (1, 0));
}
