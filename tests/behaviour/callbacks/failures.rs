//! Callbacks that never return, and callbacks that panic every time.

use std::thread::scope;
use std::time::{Duration, Instant};

use zmq_auth::Authenticator;

use super::PanicsOnDrop;
use crate::harness::barrier::Barrier;
use crate::harness::front_end::{FrontEnd, isolated_behaviours};
use crate::harness::usage::threads;
use crate::harness::zap::{self, Asker};
use crate::harness::{DEADLINE, domain, log};

/// A PLAIN request of Alice.
fn question(domain: &str) -> Vec<Vec<u8>> {
    zap::request(domain, "127.0.0.1", "PLAIN", &[b"alice", log::password("of alice").as_bytes()])
}

fn ask(asker: &Asker, request: &[Vec<u8>]) -> u16 {
    asker.ask(request);
    zap::status_of(&asker.reply())
}

/// A domain that a table decides, and the name of another for the callbacks.
fn two_domains() -> (Authenticator, String, String) {
    let (auth, table, code) = (Authenticator::new(), domain("table"), domain("code"));
    auth.configure_plain(&table, [("alice", log::password("of alice"))]).unwrap();
    (auth, table, code)
}

isolated_behaviours!(
    a_thousand_panics_while_others_are_served,
    callbacks_that_never_return_cost_their_places_and_no_more
);

fn a_thousand_panics_while_others_are_served(front_end: FrontEnd) {
    const PANICS: u64 = 1_000;
    // Don't print a thousand backtraces.
    std::panic::set_hook(Box::new(|_| {}));
    let (auth, table, code) = two_domains();
    auth.configure_plain_callback(&code, |_, _, _| -> bool { panic!("a panic that a test makes") }).unwrap();
    auth.configure_curve_callback(&code, |_, _| -> bool { std::panic::panic_any(PanicsOnDrop) }).unwrap();
    let context = zmq::Context::new();
    let running = front_end.start(&auth, &context);
    let mut most = 0;
    scope(|scope| {
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

fn callbacks_that_never_return_cost_their_places_and_no_more(front_end: FrontEnd) {
    const PLACES: usize = 4;
    let (auth, table, code) = two_domains();
    auth.limit_callbacks(PLACES, Duration::from_millis(100)).unwrap();
    // It stays closed while the handler runs.
    let (barrier, open_on_drop) = Barrier::new();
    let inside = barrier.clone();
    auth.configure_plain_callback(&code, move |_, _, _| {
        inside.wait();
        true
    })
    .unwrap();
    let context = zmq::Context::new();
    let running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    // As many again are replaced, and no more.
    for _ in 0..2 * PLACES {
        assert_eq!(ask(&asker, &question(&code)), 300);
    }
    barrier.wait_for(2 * PLACES);
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
    // It starts again, with all its places.
    let running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    assert_eq!(ask(&asker, &question(&table)), 200);
    drop(open_on_drop);
    assert_eq!(ask(&asker, &question(&code)), 200);
    running.stop().unwrap();
    assert_eq!(auth.counters().allowed, 200 + 2, "a late verdict accepts nobody");
}
