//! Misuse that ends the process, each in a child.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::DEADLINE;
use crate::harness::system::{ended, fork, kill};
use crate::secret::{LONGEST_KEPT, MARK, Secret, one_at_a_time};

/// How a child ends: its exit code, or minus the signal. One that hangs is killed.
#[track_caller]
pub(crate) fn end_of(child: impl FnOnce() -> u8) -> i32 {
    let pid = fork(child);
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(end) = ended(pid) {
            return end;
        }
        if Instant::now() >= end {
            kill(pid);
            panic!("the child hangs");
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// The signal of libsodium's own check: SIGSEGV, or SIGABRT if a handler catches that, as Rust's runtime does.
#[track_caller]
fn assert_misused(what: &str, end: i32) {
    assert!([-libc::SIGSEGV, -libc::SIGABRT].contains(&end), "{what}: {end}");
}

#[test]
fn a_write_in_front_of_a_secret_ends_the_process_when_it_comes_back() {
    let _alone = one_at_a_time();
    for size in [0, 1, 32, 96, LONGEST_KEPT, 5_000] {
        for (used, back) in [1, 2, 15, 16, 17, 20, 24, 25, 32].into_iter().enumerate() {
            let end = end_of(|| {
                if used % 2 == 1 {
                    Secret::new(size).free();
                }
                let secret = Secret::new(size);
                secret.write(-back, secret.read(-back) ^ 1);
                secret.free();
                0
            });
            assert_misused(&format!("{back} bytes in front of {size}"), end);
        }
    }
    // Nothing else is wrong with what the children do.
    let end = end_of(|| {
        let secret = Secret::new(32);
        secret.write(-(MARK as isize), secret.read(-(MARK as isize)));
        secret.free();
        7
    });
    assert_eq!(end, 7);
}

#[test]
fn a_write_behind_a_secret_ends_the_process_at_once() {
    let _alone = one_at_a_time();
    for size in [0, 1, 32, 96, LONGEST_KEPT, 5_000] {
        for used_again in [false, true] {
            let end = end_of(|| {
                let mut secret = Secret::new(size);
                if used_again {
                    secret.free();
                    secret = Secret::new(size);
                }
                secret.write(size as isize, 0);
                0
            });
            assert_eq!(end, -libc::SIGSEGV, "behind {size} bytes");
        }
    }
}

#[test]
fn to_give_a_secret_back_twice_ends_the_process() {
    let _alone = one_at_a_time();
    for size in [0, 32, LONGEST_KEPT, 5_000] {
        let end = end_of(|| {
            let secret = Secret::new(size);
            secret.free();
            secret.free();
            0
        });
        assert_misused(&format!("{size} bytes, twice"), end);
    }
}

#[test]
fn a_write_to_a_secret_that_was_given_back_ends_the_process_when_it_is_used_again() {
    let _alone = one_at_a_time();
    for offset in [0, 50, 95, -1, -(MARK as isize)] {
        let end = end_of(|| {
            let secret = Secret::new(96);
            secret.free();
            secret.write(offset, 1);
            Secret::new(96);
            0
        });
        assert_misused(&format!("at {offset}"), end);
    }
}
