//! The policy changes while handshakes are decided: each decision sees one whole policy, before or after.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use zmq_auth::{Authenticator, PublicKey};

use crate::harness::DEADLINE;
use crate::harness::log::{password, stranger};
use crate::harness::zap;

/// Runs `change` again and again in another thread while `check` runs, until both have run often.
fn while_changing(change: impl Fn(usize) + Send + Sync, check: impl Fn()) {
    let (changes, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let changing = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                change(changes.fetch_add(1, Ordering::Relaxed));
            }
        });
        let _done = SetAtEnd(&done);
        let end = Instant::now() + DEADLINE;
        let mut checks = 0;
        while checks < 3000 || changes.load(Ordering::Relaxed) < 500 {
            check();
            checks += 1;
            assert!(!changing.is_finished(), "a change panicked");
            assert!(Instant::now() < end, "{checks} checks and {changes:?} changes until the deadline");
        }
    });
}

/// Ends the changes however the checks end.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn address_lists_are_replaced_as_one() {
    let auth = Authenticator::new();
    auth.set_addresses(["10.0.0.1"], ["10.0.0.1"]).unwrap();
    // Each policy keeps 10.0.0.1 out; the one's allow list with the other's deny list would let it in.
    while_changing(
        |n| match n % 2 {
            0 => auth.set_addresses(["10.0.0.2"], [""; 0]).unwrap(),
            _ => auth.set_addresses(["10.0.0.1"], ["10.0.0.1"]).unwrap(),
        },
        || assert_eq!(zap::null(&auth, "d", "10.0.0.1"), 400),
    );
}

#[test]
fn a_table_is_replaced_as_a_whole() {
    let auth = Authenticator::new();
    let (a, b) = (password("a"), password("b"));
    let configure = |n: usize| {
        let other = (format!("user{n}"), b.clone());
        auth.configure_plain("shop", [("alice".to_owned(), a.clone()), other]).unwrap();
    };
    configure(0);
    while_changing(configure, || {
        assert_eq!(zap::plain(&auth, "shop", b"alice", a.as_bytes()), 200);
        assert_eq!(zap::plain(&auth, "shop", b"alice", b.as_bytes()), 400);
    });
}

#[test]
fn keys_come_and_go_beside_each_other() {
    let (auth, stays, goes, never) = (Authenticator::new(), stranger(), stranger(), stranger());
    let keys: Vec<PublicKey> = vec![stays, goes];
    auth.configure_curve_keys("lab", keys.clone()).unwrap();
    while_changing(
        |n| match n % 4 {
            0 => assert!(auth.remove_curve_key("lab", &goes).unwrap()),
            1 => auth.add_curve_key("lab", goes).unwrap(),
            2 => auth.configure_curve_keys("lab", keys.clone()).unwrap(),
            _ => {
                auth.configure_curve_keys("*", [never]).unwrap();
                auth.remove_domain("*");
            }
        },
        || {
            assert_eq!(zap::curve(&auth, "lab", &stays), 200);
            assert_eq!(zap::curve(&auth, "lab", &never), 400);
        },
    );
}

#[test]
fn a_change_is_in_force_when_the_call_returns() {
    let (auth, key) = (Authenticator::new(), stranger());
    let clone = auth.clone();
    for _ in 0..1000 {
        clone.add_curve_key("lab", key).unwrap();
        assert_eq!(zap::curve(&auth, "lab", &key), 200);
        clone.remove_curve_key("lab", &key).unwrap();
        assert_eq!(zap::curve(&auth, "lab", &key), 400);
    }
}
