//! A policy file that follows the disk by itself.

use std::fs;
use std::time::Instant;

use crate::fixture::{Fixture, curve, null, replace};
use crate::harness::DEADLINE;

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_file_and_its_stores_are_followed_also_those_that_it_names_later() {
    let fixture = Fixture::new("[domain.lab]\ncurve = { directory = \"first\" }\n");
    let [alice] = fixture.clients("first", ["alice"]);
    let [bob] = fixture.clients("second", ["bob"]);
    let policy = fixture.open();
    policy.watch().unwrap();
    let auth = policy.authenticator();
    assert!(policy.status().watched && policy.stores()[0].1.watched);
    fs::remove_file(fixture.path("first/alice.key")).unwrap();
    wait_until("a removed key", || curve(auth, "lab", &alice) == 400);
    fixture.write("[domain.lab]\ncurve = { directory = \"second\" }\n");
    wait_until("another directory", || curve(auth, "lab", &bob) == 200);
    assert!(policy.stores()[0].1.watched);
    fs::remove_file(fixture.path("second/bob.key")).unwrap();
    wait_until("a removed key of the other directory", || curve(auth, "lab", &bob) == 400);
}

#[test]
fn a_store_that_is_there_later_is_taken_then() {
    let fixture = Fixture::new("[domain.lab]\nnull = \"deny\"\n");
    let policy = fixture.open();
    policy.watch().unwrap();
    let auth = policy.authenticator();
    fixture.write("[domain.lab]\nnull = \"allow\"\nplain = { file = \"passwords\" }\n");
    wait_until("it is behind", || policy.status().behind_since.is_some());
    assert_eq!(null(auth, "lab", "127.0.0.1"), 400);
    replace(&fixture.path("passwords"), "alice=correct horse\n");
    wait_until("it has caught up", || policy.status().behind_since.is_none());
    assert_eq!(null(auth, "lab", "127.0.0.1"), 200);
}
