//! A thousand concurrent async callbacks. They wait for each other, so they can't run one by one; no clock is needed.

use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::Barrier;
use zmq_auth::Authenticator;

use crate::harness::front_end::{FrontEnd, async_behaviours};
use crate::harness::zap::{Asker, answer, ask, question};
use crate::harness::{DEADLINE, domain};

const MANY: usize = 1000;

async_behaviours!(a_thousand_callbacks_wait_for_each_other);

fn a_thousand_callbacks_wait_for_each_other(front_end: FrontEnd) {
    let (slow, fast) = (domain("slow"), domain("fast"));
    let barrier = Arc::new(Barrier::new(MANY));
    let (enter, entered) = mpsc::channel();
    let authenticator = Authenticator::new();
    authenticator.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    authenticator
        .configure_plain_callback_async(&slow, move |_, _, _| {
            let (barrier, enter) = (barrier.clone(), enter.clone());
            async move {
                enter.send(()).unwrap();
                barrier.wait().await;
                true
            }
        })
        .unwrap();
    authenticator.configure_plain_callback_async(&fast, |_, _, _| async { true }).unwrap();
    // Half of the places are reserved in equal parts for the two domains.
    authenticator.limit_async_callbacks(2 * MANY).unwrap();
    let context = zmq::Context::new();
    let _running = front_end.start(&authenticator, &context);

    let (slow_asker, fast_asker) = (Asker::connect(&context), Asker::connect(&context));
    let users: Vec<String> = (0..MANY).map(|n| format!("user {n}")).collect();
    let (last, others) = users.split_last().unwrap();
    for user in others {
        slow_asker.ask(&question(&slow, user));
    }
    for n in 0..others.len() {
        entered.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("only {n} callbacks are under way"));
    }
    assert_eq!(ask(&fast_asker, &fast, "alice"), 200);
    assert_eq!(authenticator.counters().allowed, 1, "all others still wait");
    slow_asker.assert_no_reply();

    slow_asker.ask(&question(&slow, last));
    let mut decided = HashSet::new();
    for _ in 0..MANY {
        let (user, status) = answer(&slow_asker);
        assert_eq!(status, 200, "{user}");
        decided.insert(user);
    }
    assert_eq!(decided, users.into_iter().collect());
    assert_eq!(authenticator.counters().allowed, MANY as u64 + 1);
}
