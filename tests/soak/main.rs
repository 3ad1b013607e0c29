//! Soak test: clients keep connecting and disconnecting, with right and wrong credentials, while the policy changes. Every
//! outcome must be what the model in `tests/properties` says. Memory must not grow by more than 5 %, descriptors not at all.
//!
//! Each front end is soaked for 10 s; `ZMQ_AUTH_SOAK_SECONDS` sets another time. The server runs in its own process; this
//! one alternates between changing the policy and running a batch of clients. Nothing changes during a batch, so each
//! outcome has one right answer.
#![cfg(target_os = "linux")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../properties/src/model/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the soak test uses only part of the model")]
mod model;

mod clients;
#[cfg(all(feature = "argon2", feature = "tokio", feature = "watch"))]
mod hostile;
mod server;
mod state;

use std::time::{Duration, Instant};

use clients::{Kind, Tally};
use harness::front_end::FrontEnd;
use harness::process::is_child;
use harness::random::Random;
use harness::usage::descriptors;
use harness::wait_until;
use harness::worker::Worker;
use server::Directories;
use state::State;

/// The default duration for each front end. [`VARIABLE`] overrides it.
const SECONDS: u64 = 10;
const VARIABLE: &str = "ZMQ_AUTH_SOAK_SECONDS";
/// The number of clients that connect at once.
const BATCH: usize = 16;

#[test]
fn every_decision_is_right_and_nothing_grows_on_thread() {
    soak(FrontEnd::Thread, "thread");
}

#[cfg(feature = "tokio")]
#[test]
fn every_decision_is_right_and_nothing_grows_on_tokio() {
    soak(FrontEnd::MultiThread, "tokio");
}

/// How long to soak one front end.
fn time() -> Duration {
    match std::env::var(VARIABLE) {
        Ok(text) => Duration::from_secs(text.parse().unwrap_or_else(|_| {
            panic!("{VARIABLE}={text:?} is not a whole number of seconds");
        })),
        Err(_) => Duration::from_secs(SECONDS),
    }
}

fn soak(front_end: FrontEnd, name: &str) {
    let directories = Directories::new();
    if is_child() {
        return server::serve(front_end, &directories);
    }
    let test = format!("every_decision_is_right_and_nothing_grows_on_{name}");
    let mut server = Worker::start(&test, &[(server::DIR, directories.path())]);
    let servers = clients::Servers::read(&server.receive());
    let (mut random, mut tally) = (Random::new(), Tally::default());
    let mut state = State::new(&directories, &mut server);

    let mut rounds = |server: &mut Worker, state: &mut State, time: Duration| {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for _ in 0..1 + random.below(3) {
                state.change(&mut random, &directories, server);
                tally.changes += 1;
            }
            let kinds = (0..BATCH).map(|_| Kind::any(&mut random));
            clients::run_together(kinds, &servers, state, &mut tally);
        }
    };
    // Warm up, so that everything that is allocated once and kept already exists when memory is first measured.
    rounds(&mut server, &mut state, time() / 3);
    let before = measured(&mut server, None);
    rounds(&mut server, &mut state, time() * 2 / 3);
    let after = measured(&mut server, Some(before));
    println!("{tally}");
    println!("{} to {} KiB in use, {} to {} descriptors", before.0, after.0, before.1, after.1);
    // The handler was asked exactly once about each client, except those with a wrong server key; none was retried.
    assert_eq!(server.ask("counters?"), format!("{} {} 0 0", tally.accepted(), tally.refused()));
    assert!(tally.accepted() > 20 && tally.refused() > 20 && tally.changes > 20, "hardly anything happened");
    assert_eq!(after.1, before.1, "descriptors");
    assert!(server.end().success());
}

/// Resident memory in KiB, and descriptors, after all clients have left.
fn measured(server: &mut Worker, before: Option<(u64, usize)>) -> (u64, usize) {
    let pid = server.pid();
    let idle: usize = server.ask("idle?").parse().unwrap();
    wait_until("the server has as few descriptors as when idle", || descriptors(pid) == idle);
    let mut kib = 0;
    wait_until("memory is within 5 % of the first measurement", || {
        kib = server.ask("resident?").parse().unwrap();
        // libzmq frees a connection's memory a little after its descriptor.
        before.is_none_or(|(before, _)| kib * 100 <= before * 105)
    });
    (kib, descriptors(pid))
}
