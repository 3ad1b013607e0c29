//! A process that forks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::ends::end_of;
use crate::secret::{Secret, kept, one_at_a_time};

#[test]
fn a_child_discards_what_was_kept_and_the_parent_keeps_it() {
    let _alone = one_at_a_time();
    let secrets: Vec<_> = (0..20).map(|_| Secret::new(72)).collect();
    let (live, returned) = secrets.split_at(5);
    live.iter().for_each(|secret| secret.fill(0xa5));
    returned.iter().for_each(|secret| secret.free());
    let before = kept();
    let end = end_of(|| {
        if kept() != 0 || returned.iter().any(|secret| secret.is_mapped()) {
            return 1;
        }
        // The parent's secret is still there; its page is not locked here, so it is not reused.
        if !live.iter().all(|secret| secret.is_all(0xa5)) {
            return 2;
        }
        live.iter().for_each(|secret| secret.free());
        if kept() != 0 || live.iter().any(|secret| secret.is_mapped()) {
            return 3;
        }
        // And it goes on like a process that was not forked.
        let own = Secret::new(72);
        own.free();
        if kept() != 1 || Secret::new(72) != own {
            return 4;
        }
        // So does a child of the child.
        own.free();
        if end_of(|| u8::from(kept() != 0)) == 0 { 0 } else { 5 }
    });
    assert_eq!(end, 0, "what the child found");
    assert_eq!(kept(), before, "the parent lost or won regions");
    assert!(returned.iter().all(|secret| secret.is_mapped() && secret.is_all(0)));
    assert!(live.iter().all(|secret| secret.is_all(0xa5)));
    live.iter().for_each(|secret| secret.free());
}

#[test]
fn a_fork_while_other_threads_use_secrets_leaves_the_lock_free() {
    let _alone = one_at_a_time();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for size in [32, 96, 160] {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let secrets = [size, 33].map(Secret::new);
                    secrets.into_iter().for_each(Secret::free);
                }
            });
        }
        let forked = std::panic::catch_unwind(|| {
            for round in 0..100 {
                let end = end_of(|| {
                    let secret = Secret::new(32);
                    secret.free();
                    u8::from(kept() != 1)
                });
                assert_eq!(end, 0, "fork {round}");
                // Those of the parent, too.
                Secret::new(32).free();
            }
        });
        stop.store(true, Ordering::Relaxed);
        forked.unwrap();
    });
}
