//! Code of the program's own that never returns, and code that panics every time.

use std::thread;
use std::time::{Duration, Instant};

use zmq_auth::Authenticator;

use crate::harness::faces::Face;
use crate::harness::footprint::threads;
use crate::harness::gate::Gate;
use crate::harness::zap::{self, Asker};
use crate::harness::{DEADLINE, domain, log};

/// A PLAIN question of anybody.
fn question(domain: &str) -> Vec<Vec<u8>> {
    zap::request(domain, "127.0.0.1", "PLAIN", &[b"alice", log::password("of alice").as_bytes()])
}

fn ask(asker: &Asker, request: &[Vec<u8>]) -> u16 {
    asker.ask(request);
    zap::status_of(&asker.reply())
}

/// Two domains: one decided by a table, the other by code.
fn town() -> (Authenticator, String, String) {
    let (auth, table, code) = (Authenticator::new(), domain("table"), domain("code"));
    auth.configure_plain(&table, [("alice", log::password("of alice"))]).unwrap();
    (auth, table, code)
}

macro_rules! for_both_faces {
    ($($name:ident),* $(,)?) => {
        mod thread_face {
            $(#[test] fn $name() {
                crate::alone(concat!("callbacks::thread_face::", stringify!($name)), || super::$name(super::Face::Thread));
            })*
        }
        #[cfg(feature = "tokio")]
        mod tokio_face {
            $(#[test] fn $name() {
                crate::alone(concat!("callbacks::tokio_face::", stringify!($name)), || super::$name(super::Face::CurrentThread));
            })*
        }
    };
}
for_both_faces!(a_thousand_panics_while_others_are_served, callbacks_that_never_return_cost_their_places_and_no_more);

fn a_thousand_panics_while_others_are_served(face: Face) {
    const PANICS: u64 = 1_000;
    // A thousand backtraces say nothing.
    std::panic::set_hook(Box::new(|_| {}));
    let (auth, table, code) = town();
    auth.configure_plain_callback(&code, |_, _, _| -> bool { panic!("a panic that a test makes") }).unwrap();
    auth.configure_curve_callback(&code, |_, _| -> bool { std::panic::panic_any(PanicsWhenDropped) }).unwrap();
    let context = zmq::Context::new();
    let running = face.start(&auth, &context);
    let mut most = 0;
    thread::scope(|scope| {
        let others = scope.spawn(|| {
            let asker = Asker::connect(&context);
            (0..PANICS).for_each(|_| assert_eq!(ask(&asker, &question(&table)), 200));
        });
        let asker = Asker::connect(&context);
        let (by_plain, by_curve) = (question(&code), zap::request(&code, "127.0.0.1", "CURVE", &[&[7; 32]]));
        for n in 0..PANICS {
            assert_eq!(ask(&asker, if n % 2 == 0 { &by_plain } else { &by_curve }), 500);
            most = most.max(threads(std::process::id()));
        }
        others.join().expect("others are served");
    });
    let counters = auth.counters();
    assert_eq!((counters.faults, counters.allowed, counters.denied), (PANICS, PANICS, 0));
    assert!(most < 20, "{most} threads: each panic has cost one");
    running.stop().unwrap();
}

/// A payload whose end is a panic too.
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("another panic");
    }
}

fn callbacks_that_never_return_cost_their_places_and_no_more(face: Face) {
    const PLACES: usize = 4;
    let (auth, table, code) = town();
    auth.limit_callbacks(PLACES, Duration::from_millis(100)).unwrap();
    // It is never opened while the handler runs.
    let (gate, open_at_end) = Gate::new();
    let inside = gate.clone();
    auth.configure_plain_callback(&code, move |_, _, _| {
        inside.pass();
        true
    })
    .unwrap();
    let context = zmq::Context::new();
    let running = face.start(&auth, &context);
    let asker = Asker::connect(&context);
    // As many again are replaced, and no more.
    for _ in 0..2 * PLACES {
        assert_eq!(ask(&asker, &question(&code)), 300);
    }
    gate.wait_for(2 * PLACES);
    for _ in 0..200 {
        assert_eq!(ask(&asker, &question(&code)), 300, "no place is left");
        assert_eq!(ask(&asker, &question(&table)), 200);
    }
    let counters = auth.counters();
    assert_eq!((counters.calls_timed_out, counters.calls_refused), (2 * PLACES as u64, 200));
    assert_eq!(counters.calls_replaced, PLACES as u64);
    let start = Instant::now();
    running.stop().unwrap();
    assert!(start.elapsed() < DEADLINE);
    assert_eq!(auth.counters().calls_abandoned, 2 * PLACES as u64);
    // It starts again, and has all its places.
    let running = face.start(&auth, &context);
    let asker = Asker::connect(&context);
    assert_eq!(ask(&asker, &question(&table)), 200);
    drop(open_at_end);
    assert_eq!(ask(&asker, &question(&code)), 200);
    running.stop().unwrap();
    assert_eq!(auth.counters().allowed, 200 + 2, "what returned too late let nobody in");
}
