//! A directory that comes and goes while it is loaded.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use zmq_auth::{Authenticator, Error, KeyDirectory, PublicKey, load_certificates};

use crate::harness::{DEADLINE, domain, log, zap};

const FILES: u32 = 300;
const ROUNDS: usize = 300;

fn key(number: u32) -> PublicKey {
    let mut bytes = [0x5A; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes.into()
}

#[test]
fn a_directory_that_comes_and_goes_while_it_is_loaded() {
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
    println!("{loaded} times loaded, {failed} times not");
    // It is there for good: nothing of what was missing is remembered as bad.
    keys.reload().unwrap();
    auth.configure_curve(&once, &here).unwrap();
    assert!(keys.status().problems.is_empty());
    for domain in [&once, &followed] {
        assert!((0..FILES).all(|number| zap::curve(&auth, domain, &key(number)) == 200));
    }
}
