//! Hashed passwords while a stranger floods another policy with wrong ones.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use zmq_auth::{Handshake, SocketExt};

use crate::harness::front_end::{FrontEnd, behaviours};
use crate::harness::sockets::{Client, Server};
use crate::harness::{DEADLINE, log};
use crate::hashed::{REFERENCE, alone, line};
use crate::passwords::Users;

behaviours!(a_flood_of_wrong_passwords_delays_other_policies_by_no_more_than_their_turn);

/// Concurrent connections of the stranger.
const STRANGERS: usize = 64;
/// Good clients, all at the same time.
const CLIENTS: usize = 30;

fn a_flood_of_wrong_passwords_delays_other_policies_by_no_more_than_their_turn(front_end: FrontEnd) {
    let _turn = alone();
    // 64 MiB a guess; the users of the other file cost 19 MiB each.
    let (guessed, secret) = (Users::of(format!("alice={REFERENCE}\n")), log::password("shop"));
    let shop = Users::of(line("bob", &secret));
    // The test is about turns, not about how fast a busy machine hashes.
    shop.auth.limit_callbacks(64, DEADLINE).unwrap();
    let (their_context, context) = (zmq::Context::new(), zmq::Context::new());
    let _theirs = front_end.start(&guessed.auth, &their_context);
    let _running = front_end.start(&shop.auth, &context);
    let their_server = Server::new(&their_context, |socket| socket.plain_server(&guessed.domain));
    let server = Server::new(&context, |socket| socket.plain_server(&shop.domain));

    let without = enter_together(&context, &server, &secret);
    let (done, decided) = (AtomicBool::new(false), AtomicU64::new(0));
    let during = std::thread::scope(|scope| {
        let (theirs, endpoint, done, decided) = (&their_context, their_server.endpoint(), &done, &decided);
        let flood = scope.spawn(move || flood(theirs, endpoint, done, decided));
        crate::harness::wait_until("the flood is under way", || decided.load(Ordering::Relaxed) >= 8);
        let end = SetWhenDropped(done);
        let took = enter_together(&context, &server, &secret);
        drop(end);
        flood.join().unwrap();
        took
    });
    let (counters, theirs) = (shop.auth.counters(), guessed.auth.counters());
    println!(
        "{front_end:?}: the slowest of {CLIENTS} clients: {without:?} alone, {during:?} while {} guesses were refused and {} put off",
        theirs.denied, theirs.retried
    );
    assert_eq!((counters.allowed, counters.retried), (2 * CLIENTS as u64, 0), "all of them, at their first try");
    assert_eq!(theirs.allowed, 0);
}

/// Ends the flood, even if the test fails.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All of them are accepted; returns the duration of the last one.
fn enter_together(context: &zmq::Context, server: &Server, password: &str) -> Duration {
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS).map(|_| Client::plain(context, server.endpoint(), "bob", password)).collect();
    for mut client in clients {
        client.expect(Handshake::Authenticated);
    }
    start.elapsed()
}

/// Guesses without a pause until it is done: each refused client is followed by the next.
fn flood(context: &zmq::Context, endpoint: &str, done: &AtomicBool, decided: &AtomicU64) {
    let guess = || Client::plain(context, endpoint, "alice", "wrong");
    let mut strangers: Vec<_> = (0..STRANGERS).map(|_| guess()).collect();
    while !done.load(Ordering::Relaxed) {
        for stranger in &mut strangers {
            match stranger.wait_for_handshake(Duration::ZERO).unwrap() {
                Some(Handshake::Denied(400)) => {
                    decided.fetch_add(1, Ordering::Relaxed);
                    *stranger = guess();
                }
                Some(Handshake::Authenticated) => panic!("a wrong password was accepted"),
                // 300: libzmq retries by itself.
                _ => {}
            }
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
