//! Limits of callbacks: concurrency, number and deadline. Shown by barriers, not by clocks.

use std::time::{Duration, Instant};

use zmq_auth::{Authenticator, Error, Handshake, SocketExt};

use crate::harness::barrier::Barrier;
use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::log::{self, password};
use crate::harness::sockets::{Client, Server, assert_no_handshake};
use crate::harness::zap::{self, Asker};
use crate::harness::{DEADLINE, domain};

behaviours! {
    four_callbacks_run_at_once_and_delay_nobody,
    the_65th_callback_is_refused_with_300_and_the_place_is_free_again,
    a_lower_bound_holds_too,
    a_callback_that_takes_too_long_is_refused_with_300_and_its_late_result_is_discarded,
    stop_returns_whatever_a_callback_does_and_its_client_is_never_accepted,
}

fn four_callbacks_run_at_once_and_delay_nobody(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (barrier, _open_on_drop) = Barrier::new();
    let inside = barrier.clone();
    auth.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    auth.configure_plain_callback("slow", move |_, _, _| {
        inside.wait();
        true
    })
    .unwrap();
    auth.configure_plain("shop", [("alice", password("a"))]).unwrap();
    let _running = front_end.start(&auth, &context);
    let slow = Server::new(&context, |socket| socket.plain_server("slow"));
    let shop = Server::new(&context, |socket| socket.plain_server("shop"));
    let mut clients: Vec<_> =
        (0..4).map(|n| Client::plain(&context, slow.endpoint(), &n.to_string(), &password("a"))).collect();
    barrier.wait_for(4);
    // Others are served meanwhile.
    Client::plain(&context, shop.endpoint(), "alice", &password("a")).round_trip(&shop);
    Client::plain(&context, shop.endpoint(), "alice", &password("b")).expect_denied();
    for client in &mut clients {
        assert_no_handshake(client);
    }
    barrier.open();
    for (n, client) in clients.iter_mut().enumerate() {
        let received = client.round_trip(&slow);
        assert_eq!(received.sender().user_id(), Some(n.to_string().as_str()), "each has its own answer");
    }
}

fn the_65th_callback_is_refused_with_300_and_the_place_is_free_again(front_end: FrontEnd) {
    bound_holds(front_end, 64, |_| {});
}

fn a_lower_bound_holds_too(front_end: FrontEnd) {
    bound_holds(front_end, 3, |auth| auth.limit_callbacks(3, Duration::from_secs(600)).unwrap());
}

fn bound_holds(front_end: FrontEnd, at_once: usize, set_up: impl Fn(&Authenticator)) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (barrier, _open_on_drop) = Barrier::new();
    let inside = barrier.clone();
    // The test is about the limit, not about the deadline.
    auth.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    set_up(&auth);
    auth.configure_plain_callback("slow", move |_, _, _| {
        inside.wait();
        true
    })
    .unwrap();
    let _running = front_end.start(&auth, &context);
    let asker = Asker::connect(&context);
    let ask = |id: &str| {
        let secret = password("a");
        let mut request = zap::request("slow", "127.0.0.1", "PLAIN", &[b"alice", secret.as_bytes()]);
        request[1] = id.into();
        asker.ask(&request);
    };
    (0..at_once).for_each(|_| ask("inside"));
    barrier.wait_for(at_once);
    for _ in 0..3 {
        ask("outside");
        let reply = asker.reply();
        assert_eq!((&reply[1][..], zap::status_of(&reply)), (&b"outside"[..], 300));
    }
    asker.assert_no_reply();
    barrier.wait_for(at_once);
    assert_eq!((auth.counters().calls_refused, auth.counters().retried), (3, 3));
    barrier.open();
    for _ in 0..at_once {
        let reply = asker.reply();
        assert_eq!((&reply[1][..], zap::status_of(&reply)), (&b"inside"[..], 200));
    }
    ask("again");
    let reply = asker.reply();
    assert_eq!((&reply[1][..], zap::status_of(&reply)), (&b"again"[..], 200));
}

fn a_callback_that_takes_too_long_is_refused_with_300_and_its_late_result_is_discarded(front_end: FrontEnd) {
    let (context, auth) = (zmq::Context::new(), Authenticator::new());
    let (barrier, _open_on_drop) = Barrier::new();
    let inside = barrier.clone();
    // There is one place, which is free again only when the late result was received.
    auth.limit_callbacks(1, Duration::from_millis(50)).unwrap();
    auth.configure_plain_callback("slow", move |_, _, _| {
        inside.wait();
        true
    })
    .unwrap();
    let _running = front_end.start(&auth, &context);
    let mut server = Server::new(&context, |socket| socket.plain_server("slow"));
    let mut client = Client::plain(&context, server.endpoint(), "alice", &password("a"));
    barrier.wait_for(1);
    server.expect(Handshake::Denied(300));
    assert_eq!(auth.counters().calls_timed_out, 1);

    let asker = Asker::connect(&context);
    barrier.open();
    let end = Instant::now() + DEADLINE;
    loop {
        let secret = password("a");
        asker.ask(&zap::request("slow", "127.0.0.1", "PLAIN", &[b"bob", secret.as_bytes()]));
        match zap::status_of(&asker.reply()) {
            200 => break,
            status => assert!(status == 300 && Instant::now() < end, "{status}, and the place is never free"),
        }
    }
    client.assert_told_nothing();
    server.assert_nothing_received();
    assert_no_handshake(&mut server);
    assert_eq!(auth.counters().allowed, 1, "only the client whose callback was in time was accepted");
}

fn stop_returns_whatever_a_callback_does_and_its_client_is_never_accepted(front_end: FrontEnd) {
    let (barrier, _open_on_drop) = Barrier::new();
    let auth = Authenticator::new();
    let (inside, name) = (barrier.clone(), domain("stuck"));
    auth.limit_callbacks(64, Duration::from_secs(600)).unwrap();
    auth.configure_plain_callback(&name, move |_, _, _| {
        inside.wait();
        true
    })
    .unwrap();
    let mut fastest = Duration::MAX;
    // A machine may be busy once, but not every time.
    for n in 1..=3 {
        let context = zmq::Context::new();
        let running = front_end.start(&auth, &context);
        let mut server = Server::new(&context, |socket| socket.plain_server(&name));
        let mut client = Client::plain(&context, server.endpoint(), "alice", &password("a"));
        barrier.wait_for(n);
        let start = Instant::now();
        running.stop().unwrap();
        fastest = fastest.min(start.elapsed());
        server.expect(Handshake::Denied(300));
        client.assert_told_nothing();
        assert_eq!(auth.counters().calls_abandoned, n as u64);
        // The endpoint is free, and other clients are served.
        let again = front_end.start(&auth, &context);
        Client::null(&context, Server::new(&context, |socket| socket.null_server("null")).endpoint())
            .expect(Handshake::Authenticated);
        again.stop().unwrap();
        server.assert_nothing_received();
        client.assert_told_nothing();
        // The context ends here although the callback still runs: its thread has neither socket nor context.
    }
    assert!(fastest < Duration::from_secs(1), "stop took {fastest:?}");
    log::wait_for(DEADLINE, |record| {
        record.level == ::log::Level::Error && record.text.contains("threads left behind")
    });
    assert_eq!(auth.counters().allowed, 3, "NULL clients alone");
    barrier.open();
    barrier.wait_for(0);
    assert_eq!(auth.counters().allowed, 3, "a result that comes after the handler's end counts for nothing");
}

#[test]
fn limits_have_a_range() {
    let auth = Authenticator::new();
    let (ms, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
    for (at_once, deadline) in
        [(0, ms), (4097, ms), (1, Duration::ZERO), (1, Duration::from_micros(999)), (1, hour + ms), (1, Duration::MAX)]
    {
        assert!(matches!(auth.limit_callbacks(at_once, deadline), Err(Error::Limit { .. })), "{at_once}, {deadline:?}");
    }
    auth.limit_callbacks(1, ms).unwrap();
    auth.limit_callbacks(4096, hour).unwrap();
}
