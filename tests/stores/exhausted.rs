//! What was revoked while nothing could be read is refused once it can be read again.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use crate::files::{Store, certificate, key, write};
use crate::harness::process::{is_child, run_again};
use crate::harness::system::limit_descriptors;
use crate::harness::wait_until;
use crate::passwords::Users;

const WITHIN: Duration = Duration::from_secs(2);

/// Runs the test in its own process, whose descriptors it may use up.
fn alone(name: &str, test: fn()) {
    if is_child() {
        return test();
    }
    let ended = run_again(name, &[], Duration::from_secs(60));
    assert!(ended.status.is_some_and(|status| status.success()), "{}", ended.stderr);
}

/// The lowest number that a new descriptor would have.
fn next_descriptor() -> u64 {
    File::open("/").unwrap().as_raw_fd().try_into().unwrap()
}

struct Revoked {
    store: Store,
    users: Users,
}

impl Revoked {
    /// Watched stores of alice and mallory.
    fn watched() -> Self {
        let store = Store::of(|dir| (1..=2).for_each(|number| write(&dir.join(format!("{number}.key")), &key(number))));
        let users = Users::of("alice=one\nmallory=two\n");
        store.keys.watch().unwrap();
        users.passwords.watch().unwrap();
        fs::write(users.file.with_extension("new"), "alice=one\n").unwrap();
        Revoked { store, users }
    }

    /// Needs no descriptor.
    fn revoke(&self) {
        fs::remove_file(self.store.path("2.key")).unwrap();
        fs::rename(self.users.file.with_extension("new"), &self.users.file).unwrap();
    }

    /// Who is accepted: mallory by his key and by his password, alice by both.
    fn let_in(&self) -> [bool; 4] {
        let (store, users) = (&self.store, &self.users);
        let plain = |user, word| users.status(user, word) == 200;
        [store.accepts(&key(2)), plain("mallory", "two"), store.accepts(&key(1)), plain("alice", "one")]
    }

    fn is_in_force(&self) -> bool {
        self.let_in() == [false, false, true, true]
    }
}

#[test]
fn a_revocation_while_no_descriptor_is_free_applies_within_two_seconds_of_one() {
    alone("exhausted::a_revocation_while_no_descriptor_is_free_applies_within_two_seconds_of_one", || {
        let revoked = Revoked::watched();
        let before = limit_descriptors(0);
        revoked.revoke();
        let problems = || (revoked.store.keys.status().problems.len(), revoked.users.passwords.status().problems.len());
        wait_until("both reloads have failed", || problems() == (1, 1));
        assert_eq!(revoked.let_in(), [true; 4]);
        limit_descriptors(before);
        let start = Instant::now();
        while !revoked.is_in_force() {
            assert!(start.elapsed() < WITHIN, "not in force after {WITHIN:?}: {:?}", revoked.let_in());
            std::thread::yield_now();
        }
        println!("in force after {:?}", start.elapsed());
        wait_until("no problem is left", || problems() == (0, 0));
    });
}

#[test]
fn a_spare_descriptor_puts_a_revocation_in_force_while_strangers_hold_all_others() {
    alone("exhausted::a_spare_descriptor_puts_a_revocation_in_force_while_strangers_hold_all_others", || {
        let revoked = Revoked::watched();
        limit_descriptors(next_descriptor());
        assert!(File::open("/").is_err(), "there is no other");
        revoked.revoke();
        let start = Instant::now();
        while !revoked.is_in_force() {
            assert!(start.elapsed() < WITHIN, "not in force after {WITHIN:?}: {:?}", revoked.let_in());
            std::thread::yield_now();
        }
        // Again: the descriptor is reserved again.
        fs::remove_file(revoked.store.path("1.key")).unwrap();
        wait_until("the next one too", || !revoked.store.accepts(&key(1)));
    });
}

#[test]
fn a_file_that_could_not_be_read_is_read_by_itself_when_it_can_be() {
    alone("exhausted::a_file_that_could_not_be_read_is_read_by_itself_when_it_can_be", || {
        let revoked = Revoked::watched();
        let (store, new) = (&revoked.store, revoked.store.path("new"));
        fs::write(&new, certificate(&key(3), &[])).unwrap();
        let before = limit_descriptors(next_descriptor());
        let spare_of_others = limit_descriptors(0);
        fs::rename(&new, store.path("2.key")).unwrap();
        wait_until("it has failed", || !store.keys.status().problems.is_empty());
        limit_descriptors(spare_of_others);
        limit_descriptors(before);
        let start = Instant::now();
        while store.accepts(&key(2)) || !store.accepts(&key(3)) {
            assert!(start.elapsed() < WITHIN, "not in force after {WITHIN:?}");
            std::thread::yield_now();
        }
    });
}
