//! Directories that vanish while they are loaded.
//!
//! A file that vanishes was removed. If all of them vanish at once, with their directory, they were not: the keys stay
//! accepted.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, Error, KeyDirectory, PublicKey, load_certificates};

use crate::files::key;
use crate::harness::process::isolated;
use crate::harness::{DEADLINE, domain, log, zap};

const FILES: u32 = 300;
const ROUNDS: usize = 300;

#[test]
fn a_directory_that_comes_and_goes_while_it_is_loaded() {
    isolated(|| {
        log::install();
        let dir = tempfile::tempdir().unwrap();
        let (here, gone) = (dir.path().join("keys"), dir.path().join("gone"));
        fs::create_dir(&here).unwrap();
        for number in 0..FILES {
            let text = format!("curve\n    public-key = \"{}\"\n", key(number));
            fs::write(here.join(format!("{number}.key")), text).unwrap();
        }
        let (once, followed, auth) = (domain("once"), domain("followed"), Authenticator::new());
        let keys = KeyDirectory::open(&here).unwrap();
        auth.configure_curve_store(&followed, &keys).unwrap();
        auth.configure_curve(&once, &here).unwrap();

        let known: HashSet<_> = (0..FILES).map(key).collect();
        let done = AtomicBool::new(false);
        let [mut loaded, mut failed] = [0, 0];
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    fs::rename(&here, &gone).unwrap();
                    thread::yield_now();
                    fs::rename(&gone, &here).unwrap();
                    thread::yield_now();
                }
            });
            let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let end = Instant::now() + DEADLINE;
                let mut round = 0;
                while round < ROUNDS || loaded == 0 || failed == 0 {
                    round += 1;
                    assert!(Instant::now() < end, "{loaded} times loaded, {failed} times not");
                    let mut count = |result: Result<(), Error>| match result {
                        Ok(()) => loaded += 1,
                        Err(Error::Io { path, source, .. }) => {
                            assert!(path.starts_with(&here), "{path:?}");
                            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
                            failed += 1;
                        }
                        Err(error) => panic!("{error}"),
                    };
                    count(load_certificates(&here).map(|keys| assert!(keys.iter().all(|key| known.contains(key)))));
                    count(auth.configure_curve(&once, &here));
                    count(keys.reload().map(drop));
                    for stranger in [key(FILES), key(FILES + 1)] {
                        assert_eq!(zap::curve(&auth, &once, &stranger), 400);
                        assert_eq!(zap::curve(&auth, &followed, &stranger), 400);
                    }
                }
            }));
            done.store(true, Ordering::Relaxed);
            rounds.unwrap();
        });
        eprintln!("# {loaded} times loaded, {failed} times not");
        // It is gone for good: none of the missing files is remembered as bad.
        keys.reload().unwrap();
        auth.configure_curve(&once, &here).unwrap();
        assert!(keys.status().problems.is_empty());
        for domain in [&once, &followed] {
            assert!((0..FILES).all(|number| zap::curve(&auth, domain, &key(number)) == 200));
        }
    });
}

#[test]
fn a_directory_that_vanishes_while_it_is_read_takes_no_key_with_it() {
    isolated(|| {
        log::install();
        let dir = tempfile::tempdir().unwrap();
        let (here, gone) = (dir.path().join("keys"), dir.path().join("gone"));
        fs::create_dir(&here).unwrap();
        let keys: Vec<PublicKey> = (0..200).map(|number: u8| [number; 32].into()).collect();
        for (number, key) in keys.iter().enumerate() {
            fs::write(here.join(format!("{number}.key")), format!("curve\n    public-key = \"{key}\"\n")).unwrap();
        }
        let (once, followed, auth) = (domain("once"), domain("followed"), Authenticator::new());
        let store = KeyDirectory::open(&here).unwrap();
        auth.configure_curve_store(&followed, &store).unwrap();
        auth.configure_curve(&once, &here).unwrap();
        let (mut failed, end) = (0, Instant::now() + 3 * DEADLINE);
        for round in 0.. {
            // At a different moment in each round.
            let away = || {
                thread::sleep(Duration::from_micros(round % 400 * 5));
                fs::rename(&here, &gone).unwrap();
            };
            let failures = [
                meanwhile(
                    away,
                    || load_certificates(&here).map(|loaded| assert_eq!(loaded.len(), keys.len())).is_err(),
                    || fs::rename(&gone, &here).unwrap(),
                ),
                meanwhile(away, || auth.configure_curve(&once, &here).is_err(), || fs::rename(&gone, &here).unwrap()),
                meanwhile(away, || store.reload().is_err(), || fs::rename(&gone, &here).unwrap()),
            ];
            failed += failures.into_iter().filter(|&failed| failed).count();
            for domain in [&once, &followed] {
                let kept = keys.iter().filter(|key| zap::curve(&auth, domain, key) == 200).count();
                assert_eq!(kept, keys.len(), "keys in force in {domain}");
            }
            if round >= 400 && failed > 50 {
                return;
            }
            assert!(Instant::now() < end, "it was hardly ever gone");
        }
    });
}

/// Does one while the other goes on, and ends when both are done.
fn meanwhile<T>(other: impl FnOnce() + Send, act: impl FnOnce() -> T, undo: impl FnOnce()) -> T {
    let result = thread::scope(|scope| {
        scope.spawn(other);
        act()
    });
    undo();
    result
}
