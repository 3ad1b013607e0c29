//! Slow and hung callbacks of one domain, and the clients of other domains.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, EventKind, Handshake, SocketExt};

use crate::harness::barrier::Barrier;
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::password;
use crate::harness::sockets::{Client, Server};
use crate::harness::zap::{self, Asker};
use crate::harness::{DEADLINE, domain, wait_until};

behaviours! {
    a_domain_whose_callbacks_hang_keeps_no_other_domain_waiting,
    hung_callbacks_are_replaced_within_a_bound_and_reported,
}

/// The stranger's connections, and the handshakes of the good clients.
const CONNECTIONS: usize = 100;
const HANDSHAKES: usize = 100;

fn a_domain_whose_callbacks_hang_keeps_no_other_domain_waiting(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (stuck, shop) = (domain("stuck"), domain("shop"));
    let (barrier, _open_at_end) = Barrier::new();
    let (inside, entered) = (barrier.clone(), Arc::new(AtomicU64::new(0)));
    let counted = entered.clone();
    // The test is about the limit of 64, not about the deadline.
    auth.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    auth.configure_plain_callback(&stuck, move |_, _, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        inside.wait();
        false
    })
    .unwrap();
    let right = password("right");
    let secret = right.clone();
    auth.configure_plain_callback(&shop, move |_, password, _| password == secret).unwrap();
    let _running = front_end.start(&auth, &context);
    let stuck = Server::new(&context, |socket| socket.plain_server(&stuck));
    let shop = Server::new(&context, |socket| socket.plain_server(&shop));

    let without = handshakes(&context, &shop, &right);
    let _strangers: Vec<_> =
        (0..CONNECTIONS).map(|n| Client::plain(&context, stuck.endpoint(), &n.to_string(), &password("any"))).collect();
    wait_until("the stranger has all that it can get", || {
        let refused = auth.counters().calls_refused;
        refused >= 36 && entered.load(Ordering::SeqCst) >= 48
    });
    let during = handshakes(&context, &shop, &right);
    Client::plain(&context, shop.endpoint(), "alice", &password("wrong")).expect_denied();
    println!(
        "{front_end:?}: handshakes of another domain's callback: p99 {without:?} alone, {during:?} during the flood"
    );
    assert_eq!(auth.counters().allowed, 2 * HANDSHAKES as u64);
}

/// One after the other, all of them accepted; returns the 99th percentile of their durations.
fn handshakes(context: &zmq::Context, server: &Server, password: &str) -> Duration {
    let mut took: Vec<_> = (0..HANDSHAKES)
        .map(|_| {
            let start = Instant::now();
            Client::plain(context, server.endpoint(), "alice", password).expect(Handshake::Authenticated);
            start.elapsed()
        })
        .collect();
    took.sort();
    took[HANDSHAKES * 99 / 100 - 1]
}

fn hung_callbacks_are_replaced_within_a_bound_and_reported(front_end: FrontEnd) {
    const AT_ONCE: usize = 2;
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (barrier, _open_at_end) = Barrier::new();
    let inside = barrier.clone();
    auth.limit_callbacks(AT_ONCE, Duration::from_millis(200)).unwrap();
    auth.configure_plain_callback("stuck", move |_, _, _| {
        inside.wait();
        true
    })
    .unwrap();
    auth.configure_plain_callback("shop", |user, _, _| user == "alice").unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    let ask = |domain: &str, user: &str| {
        let secret = password("any");
        asker.ask(&zap::request(domain, "127.0.0.1", "PLAIN", &[user.as_bytes(), secret.as_bytes()]));
        zap::status_of(&asker.reply())
    };
    let events = auth.events(1000);
    let hung = || loop {
        let event = events.next_timeout(DEADLINE).expect("an event");
        if event.kind == EventKind::CallbackHung {
            return event.reason;
        }
    };
    // Each waits for its deadline. The first ones are replaced, later ones aren't.
    for n in 1..=2 * AT_ONCE {
        assert_eq!(ask("stuck", "alice"), 300);
        barrier.wait_for(n);
    }
    let reported: Vec<_> = (0..2 * AT_ONCE).map(|_| hung()).collect();
    assert!(
        reported[..AT_ONCE].iter().all(|text| text.contains("replaced by others") && text.ends_with("\"stuck\"")),
        "{reported:?}"
    );
    assert!(reported[AT_ONCE..].iter().all(|text| text.contains("keep their places")), "{reported:?}");
    assert_eq!(auth.counters().calls_replaced, AT_ONCE as u64);
    assert_eq!(ask("stuck", "alice"), 300, "the bound");
    barrier.wait_for(2 * AT_ONCE);
    assert_eq!((auth.counters().calls_timed_out, auth.counters().calls_refused), (2 * AT_ONCE as u64, 1));
    // A domain that is new to the handler.
    for _ in 0..50 {
        assert_eq!((ask("shop", "alice"), ask("shop", "mallory")), (200, 400));
    }
    barrier.open();
    barrier.wait_for(0);
    wait_until("callbacks that return make room again", || ask("stuck", "alice") == 200);
}
