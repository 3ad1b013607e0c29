//! Policy changes while requests are decided: each decision sees one whole policy, the old or the new one.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{scope, yield_now};
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, PublicKey};

use crate::harness::front_end::{FrontEnd, isolated_behaviours};
use crate::harness::log::{self, password, stranger};
use crate::harness::zap::{self, Asker};
use crate::harness::{DEADLINE, domain};

/// Runs `change` repeatedly on another thread while `check` runs, until both have run often.
fn while_changing(change: impl Fn(usize) + Send + Sync, check: impl Fn()) {
    let (changes, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    scope(|scope| {
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

/// Ends the changes, however the checks end.
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
    // Each policy denies 10.0.0.1; the allow list of one with the deny list of the other would allow it.
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
fn keys_are_added_and_removed_concurrently() {
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
fn a_change_applies_when_the_call_returns() {
    let (auth, key) = (Authenticator::new(), stranger());
    let clone = auth.clone();
    for _ in 0..1000 {
        clone.add_curve_key("lab", key).unwrap();
        assert_eq!(zap::curve(&auth, "lab", &key), 200);
        clone.remove_curve_key("lab", &key).unwrap();
        assert_eq!(zap::curve(&auth, "lab", &key), 400);
    }
}

// A hundred thousand changes under load. If no change was in progress while four replies were given, exactly one reply is
// right for each.

isolated_behaviours! {
    a_hundred_thousand_changes_and_no_wrong_decision,
}

const CHANGES: u64 = 100_000;
/// After this many changes there is a pause, until this many replies were compared.
const BURST: u64 = 100;
const ASKERS: usize = 4;

/// The current state, according to the thread that changes it: a number that is odd while a change is in progress, and the
/// state in the bits above.
#[derive(Default)]
struct InForce(AtomicU64);

const KEY_IS_IN: u64 = 1;
const NEW_PASSWORD: u64 = 2;
const ADDRESS_DENIED: u64 = 4;

impl InForce {
    fn change(&self, number: u64, state: u64, change: impl FnOnce()) {
        self.0.fetch_or(1, Ordering::SeqCst);
        change();
        self.0.store(number << 4 | state << 1, Ordering::SeqCst);
    }

    /// The state, if no change is in progress; the number shows whether it has changed since.
    fn settled(&self) -> Option<u64> {
        let now = self.0.load(Ordering::SeqCst);
        (now & 1 == 0).then_some(now)
    }

    fn has(settled: u64, fact: u64) -> bool {
        settled >> 1 & fact != 0
    }
}

fn a_hundred_thousand_changes_and_no_wrong_decision(front_end: FrontEnd) {
    let (domain, other) = (domain("moving"), domain("still"));
    let (key, stays, never) = (log::stranger(), log::stranger(), log::stranger());
    let (old, new) = (log::password("old"), log::password("new"));
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    auth.configure_curve_keys(&domain, [stays]).unwrap();
    auth.configure_curve_keys(&other, [stays]).unwrap();
    auth.configure_plain(&domain, [("alice", old.as_str())]).unwrap();
    let running = front_end.start(&auth, &context);
    let (in_force, compared, done) = (InForce::default(), AtomicU64::new(0), AtomicBool::new(false));

    let asks = |asker: &Asker, request: Vec<Vec<u8>>| {
        asker.ask(&request);
        zap::status_of(&asker.reply())
    };
    let curve = |domain: &str, key: &PublicKey| zap::request(domain, "127.0.0.1", "CURVE", &[key.as_bytes()]);
    let plain = |word: &str| zap::request(&domain, "127.0.0.1", "PLAIN", &[b"alice", word.as_bytes()]);
    let ask_all = || {
        let asker = Asker::connect(&context);
        while !done.load(Ordering::Relaxed) {
            assert_eq!(asks(&asker, curve(&other, &stays)), 200);
            assert_eq!(asks(&asker, curve(&domain, &stays)), 200);
            assert_eq!(asks(&asker, curve(&domain, &never)), 400);
            let before = in_force.settled();
            let answers = [
                asks(&asker, curve(&domain, &key)),
                asks(&asker, plain(&old)),
                asks(&asker, plain(&new)),
                asks(&asker, zap::request(&domain, "10.0.0.7", "NULL", &[])),
            ];
            match before {
                Some(settled) if in_force.settled() == Some(settled) => {
                    let is = |fact| InForce::has(settled, fact);
                    let right = [is(KEY_IS_IN), !is(NEW_PASSWORD), is(NEW_PASSWORD), !is(ADDRESS_DENIED)];
                    assert_eq!(answers, right.map(|let_in| if let_in { 200 } else { 400 }));
                    compared.fetch_add(1, Ordering::SeqCst);
                }
                _ => assert!(answers.iter().all(|answer| matches!(answer, 200 | 400)), "{answers:?}"),
            }
        }
    };
    let change_all = || {
        let mut state = 0;
        for number in 1..=CHANGES {
            let fact = [KEY_IS_IN, NEW_PASSWORD, ADDRESS_DENIED][(number % 3) as usize];
            state ^= fact;
            let is = |fact| state & fact != 0;
            in_force.change(number, state, || match fact {
                KEY_IS_IN if is(KEY_IS_IN) => auth.add_curve_key(&domain, key).unwrap(),
                KEY_IS_IN => assert!(auth.remove_curve_key(&domain, &key).unwrap()),
                NEW_PASSWORD => {
                    let word = if is(NEW_PASSWORD) { &new } else { &old };
                    auth.configure_plain(&domain, [("alice", word.as_str())]).unwrap();
                }
                _ if is(ADDRESS_DENIED) => auth.set_addresses([""; 0], ["10.0.0.0/8"]).unwrap(),
                _ => auth.set_addresses([""; 0], [""; 0]).unwrap(),
            });
            if number % BURST == 0 {
                let (enough, end) = (compared.load(Ordering::SeqCst) + 1, Instant::now() + Duration::from_secs(60));
                while compared.load(Ordering::SeqCst) < enough && !done.load(Ordering::Relaxed) {
                    assert!(Instant::now() < end, "no answer was compared");
                    yield_now();
                }
            }
        }
    };
    // A panic in one thread ends all.
    let run = |what: &dyn Fn()| {
        let _done = SetAtEnd(&done);
        what();
    };
    scope(|scope| {
        let (run, ask_all) = (&run, &ask_all as &(dyn Fn() + Sync));
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(move || run(ask_all))).collect();
        run(&change_all);
        askers.into_iter().for_each(|asker| asker.join().unwrap());
    });
    let compared = compared.into_inner();
    let counters = auth.counters();
    println!(
        "{CHANGES} changes, {compared} times four answers compared, {} decisions",
        counters.allowed + counters.denied
    );
    assert!(compared >= CHANGES / BURST && in_force.settled().unwrap() >> 4 == CHANGES);
    assert_eq!((counters.retried, counters.faults, counters.dropped), (0, 0, 0));
    running.stop().unwrap();
}
