//! Limits of async callbacks: how many, and for how long.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use zmq_auth::{Authenticator, Error};

use crate::harness::front_end::{FrontEnd, async_behaviours};
use crate::harness::zap::{Asker, answer, ask, question};
use crate::harness::{DEADLINE, NotifyOnDrop, domain};

async_behaviours!(beyond_the_bound_clients_are_refused_with_300, beyond_its_deadline_a_callback_is_cancelled);

fn beyond_the_bound_clients_are_refused_with_300(front_end: FrontEnd) {
    let domain = domain("bounded");
    let (open, opened) = watch::channel(false);
    let (enter, entered) = mpsc::channel();
    let authenticator = Authenticator::new();
    authenticator.limit_async_callbacks(3).unwrap();
    authenticator.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    authenticator
        .configure_plain_callback_async(&domain, move |_, _, _| {
            let (mut opened, enter) = (opened.clone(), enter.clone());
            async move {
                enter.send(()).unwrap();
                opened.wait_for(|opened| *opened).await.is_ok()
            }
        })
        .unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);
    let asker = Asker::connect(&context);

    for user in ["1", "2", "3"] {
        asker.ask(&question(&domain, user));
    }
    for _ in 0..3 {
        entered.recv_timeout(DEADLINE).unwrap();
    }
    assert_eq!(ask(&asker, &domain, "4"), 300);
    assert_eq!(ask(&asker, &domain, "5"), 300);
    let counters = authenticator.counters();
    assert_eq!((counters.calls_refused, counters.retried, counters.calls_timed_out), (2, 2, 0));

    open.send(true).unwrap();
    let mut decided = [answer(&asker), answer(&asker), answer(&asker)];
    decided.sort();
    assert_eq!(decided, ["1", "2", "3"].map(|user| (user.to_owned(), 200)));
    // The places are free again, repeatedly.
    for n in 0..20 {
        assert_eq!(ask(&asker, &domain, &format!("later {n}")), 200);
    }
    assert_eq!(authenticator.counters().calls_refused, 2);
}

fn beyond_its_deadline_a_callback_is_cancelled(front_end: FrontEnd) {
    let domain = domain("late");
    let (tell, told) = mpsc::channel();
    let authenticator = Authenticator::new();
    // One at a time: a cancelled callback frees its place for the next.
    authenticator.limit_async_callbacks(1).unwrap();
    authenticator.limit_callbacks(64, Duration::from_millis(20)).unwrap();
    authenticator
        .configure_plain_callback_async(&domain, move |user, _, _| {
            let tell = NotifyOnDrop(tell.clone(), "cancelled");
            async move {
                if user == "never" {
                    let _tell = tell;
                    std::future::pending::<()>().await;
                }
                true
            }
        })
        .unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);
    let asker = Asker::connect(&context);

    // The cancellation is reported before the place is free: until then the next client may also get 300.
    let start = Instant::now();
    for n in 1..=3 {
        while authenticator.counters().calls_timed_out < n {
            assert!(start.elapsed() < DEADLINE, "callback {n} got no room: {:?}", authenticator.counters());
            assert_eq!(ask(&asker, &domain, "never"), 300);
        }
        assert_eq!(told.recv_timeout(DEADLINE), Ok("cancelled"));
    }
    authenticator.limit_callbacks(64, DEADLINE).unwrap();
    while ask(&asker, &domain, "soon") != 200 {
        assert!(start.elapsed() < 2 * DEADLINE, "no room: {:?}", authenticator.counters());
    }
    assert_eq!(authenticator.counters().calls_timed_out, 3);
}

#[test]
fn limits_have_ranges() {
    let authenticator = Authenticator::new();
    for wrong in [0, 1_000_001, usize::MAX] {
        assert!(matches!(authenticator.limit_async_callbacks(wrong), Err(Error::Limit { .. })), "{wrong}");
    }
    for right in [1, 1_000_000] {
        authenticator.limit_async_callbacks(right).unwrap();
    }
}
