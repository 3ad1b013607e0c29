//! Soak test: clients keep connecting and disconnecting, with right and wrong credentials, while the policy changes. Each
//! outcome is compared with the model; memory and descriptors don't grow.
//!
//! It takes 20 s; `ZMQ_AUTH_SOAK_SECONDS` sets another time. The server runs in its own process; this one makes the changes and
//! runs the clients, one after the other, so that each outcome has one right answer.
#![cfg(target_os = "linux")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../properties/src/model/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the soak uses a part of the model")]
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

/// For each front end, unless the environment says otherwise.
const SECONDS: u64 = 10;
const VARIABLE: &str = "ZMQ_AUTH_SOAK_SECONDS";
/// Concurrent clients.
const BATCH: usize = 16;

#[test]
fn no_wrong_decision_and_nothing_that_grows_thread() {
    soak(FrontEnd::Thread, "thread");
}

#[cfg(feature = "tokio")]
#[test]
fn no_wrong_decision_and_nothing_that_grows_tokio() {
    soak(FrontEnd::MultiThread, "tokio");
}

/// Half of the requested time: there are two front ends.
fn time() -> Duration {
    match std::env::var(VARIABLE) {
        Ok(text) => Duration::from_secs(text.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text:?}: seconds"))) / 2,
        Err(_) => Duration::from_secs(SECONDS),
    }
}

fn soak(front_end: FrontEnd, name: &str) {
    let directories = Directories::new();
    if is_child() {
        return server::serve(front_end, &directories);
    }
    let test = format!("no_wrong_decision_and_nothing_that_grows_{name}");
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
    // A third of it until everything that is allocated once and kept exists.
    rounds(&mut server, &mut state, time() / 3);
    let before = measured(&mut server, None);
    rounds(&mut server, &mut state, time() * 2 / 3);
    let after = measured(&mut server, Some(before));
    println!("{tally}");
    println!("{} to {} KiB in use, {} to {} descriptors", before.0, after.0, before.1, after.1);
    // The handler was asked once about each client.
    assert_eq!(server.ask("counters?"), format!("{} {} 0 0", tally.accepted(), tally.refused()));
    assert!(tally.accepted() > 20 && tally.refused() > 20 && tally.changes > 20, "hardly anything happened");
    assert_eq!(after.1, before.1, "descriptors");
    assert!(after.0 * 100 <= before.0 * 105, "KiB: {before:?}, then {after:?}");
    assert!(server.end().success());
}

/// Resident memory in KiB, and descriptors, after all clients have left.
fn measured(server: &mut Worker, before: Option<(u64, usize)>) -> (u64, usize) {
    let pid = server.pid();
    let idle: usize = server.ask("idle?").parse().unwrap();
    wait_until("all clients are gone", || descriptors(pid) == idle);
    let mut kib = 0;
    wait_until("no more than 5 % above what it was", || {
        kib = server.ask("resident?").parse().unwrap();
        // libzmq frees a connection's memory a little after its descriptor.
        before.is_none_or(|(before, _)| kib * 100 <= before * 105)
    });
    (kib, descriptors(pid))
}
