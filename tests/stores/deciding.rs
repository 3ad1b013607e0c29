//! Decisions while a store changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::files::{LOG, Store, certificate, key, replace, write};

#[test]
fn keys_that_stay_are_always_accepted_while_others_come_and_go() {
    let _log = LOG.read();
    const FILES: u32 = 600;
    let store = Store::of(|dir| {
        write(&dir.join("constant.key"), &key(0));
        std::fs::write(dir.join("named.key"), certificate(&key(1), &[("name", "Alice")])).unwrap();
    });
    let ended = AtomicBool::new(false);
    let (mut decisions, mut rotations) = (0u32, 0);
    thread::scope(|scope| {
        let decider = scope.spawn(|| {
            let mut decisions = 0;
            while !ended.load(Ordering::Relaxed) {
                assert!(store.accepts(&key(0)));
                assert_eq!(store.metadata(&key(1)), b"\x04name\0\0\0\x05Alice");
                assert!(!store.accepts(&key(u32::MAX)));
                decisions += 1;
            }
            decisions
        });
        for round in 0..6 {
            // Few and many at once, growing and shrinking.
            for number in 10..10 + FILES {
                let file = store.path(&format!("{number}.key"));
                match round % 3 {
                    0 => write(&file, &key(number)),
                    1 => replace(&file, &certificate(&key(number + FILES), &[("name", "x")])),
                    _ => std::fs::remove_file(&file).unwrap(),
                }
                if number % 97 == 0 {
                    store.keys.reload().unwrap();
                }
            }
            store.keys.reload().unwrap();
            rotations += 1;
            let there = |number| store.accepts(&key(number));
            assert_eq!((there(10), there(10 + FILES)), (round % 3 == 0, round % 3 == 1));
        }
        ended.store(true, Ordering::Relaxed);
        decisions = decider.join().unwrap();
    });
    assert!(decisions > 100 && rotations == 6, "{decisions}");
}
