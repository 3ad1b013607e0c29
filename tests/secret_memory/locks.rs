//! Locking into RAM, each test in a child, because a limit applies to a process.

use std::fs;

use crate::ends::end_of;
use crate::harness::system::{become_nobody, is_root, limit_locked_memory};
use crate::secret::{Secret, one_at_a_time};

/// The locked memory of this process, in KiB.
fn locked() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("it tells what is locked");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_secret_is_locked_and_stays_so_while_it_is_kept() {
    let _alone = one_at_a_time();
    let end = end_of(|| {
        let before = locked();
        let secret = Secret::new(32);
        let made = locked();
        secret.free();
        let returned = locked();
        Secret::new(32);
        // A page, unless the limit doesn't allow one.
        let page = if made > before { 4 } else { 0 };
        u8::from([made, returned, locked()] != [before + page; 3])
    });
    assert_eq!(end, 0);
}

#[test]
fn where_the_limit_allows_no_lock_there_are_secrets_and_they_are_locked_as_soon_as_it_does() {
    let _alone = one_at_a_time();
    let end = end_of(|| {
        if is_root() {
            become_nobody();
        }
        let most = limit_locked_memory(0);
        let (short, long) = (Secret::new(32), Secret::new(5_000));
        let unlocked = locked();
        [short, long].into_iter().for_each(Secret::free);
        let again = Secret::new(32);
        if again != short || unlocked != 0 || locked() != 0 {
            return 1;
        }
        again.free();
        limit_locked_memory(most);
        if Secret::new(32) != short {
            return 2;
        }
        // 64 KiB is the smallest default limit of a system.
        if most >= 4_096 && locked() != 4 { 3 } else { 0 }
    });
    assert_eq!(end, 0);
}
