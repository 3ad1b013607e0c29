//! A directory that goes between its listing and the reading of its files: what was in force has to stay, as it does where
//! the directory is gone before. (One file that goes is a file that was removed; all of them at once are not.)

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, KeyDirectory, PublicKey, load_certificates};

use crate::harness::{DEADLINE, domain, log, zap};

const FILES: u8 = 200;

#[test]
fn a_directory_that_goes_while_it_is_read_takes_no_key_along() {
    log::install();
    let dir = tempfile::tempdir().unwrap();
    let (here, gone) = (dir.path().join("keys"), dir.path().join("gone"));
    fs::create_dir(&here).unwrap();
    let keys: Vec<PublicKey> = (0..FILES).map(|number| [number; 32].into()).collect();
    for (number, key) in keys.iter().enumerate() {
        fs::write(here.join(format!("{number}.key")), format!("curve\n    public-key = \"{key}\"\n")).unwrap();
    }
    let (once, followed, auth) = (domain("once"), domain("followed"), Authenticator::new());
    let store = KeyDirectory::open(&here).unwrap();
    auth.configure_curve_store(&followed, &store).unwrap();
    auth.configure_curve(&once, &here).unwrap();
    let (mut failed, end) = (0, Instant::now() + DEADLINE);
    for round in 0.. {
        // Somewhere on the way: from round to round a little later.
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
}

/// Does the one while the other goes on, and ends when both are done.
fn meanwhile<T>(other: impl FnOnce() + Send, act: impl FnOnce() -> T, undo: impl FnOnce()) -> T {
    let result = thread::scope(|scope| {
        scope.spawn(other);
        act()
    });
    undo();
    result
}
