//! Connects and disconnects without end, right and wrong credentials mixed, while the policy changes: not one decision
//! that the model doesn't make too, and nothing that grows.
//!
//! 20 s in all; `ZMQ_AUTH_SOAK_SECONDS` sets another time. The server has a process of its own; the changes and the clients
//! are this one's, one after the other, so that there is one right answer to each.
#![cfg(target_os = "linux")]

#[path = "../harness/mod.rs"]
mod harness;

mod clients;
#[cfg(all(feature = "argon2", feature = "tokio", feature = "watch"))]
mod hostile;
mod model;
mod server;

use std::time::{Duration, Instant};

use clients::{Kind, Tally};
use harness::faces::Face;
use harness::footprint::descriptors;
use harness::partner::Partner;
use harness::process::is_child;
use harness::wait_until;
use model::{Model, Random};
use server::Place;

/// For each face, unless the environment says otherwise.
const SECONDS: u64 = 10;
const VARIABLE: &str = "ZMQ_AUTH_SOAK_SECONDS";
/// Clients at the same time.
const BATCH: usize = 16;

#[test]
fn no_wrong_decision_and_nothing_that_grows_thread() {
    soak(Face::Thread, "thread");
}

#[cfg(feature = "tokio")]
#[test]
fn no_wrong_decision_and_nothing_that_grows_tokio() {
    soak(Face::MultiThread, "tokio");
}

/// Half of what is asked for: there are two faces.
fn time() -> Duration {
    match std::env::var(VARIABLE) {
        Ok(text) => Duration::from_secs(text.parse().unwrap_or_else(|_| panic!("{VARIABLE}={text:?}: seconds"))) / 2,
        Err(_) => Duration::from_secs(SECONDS),
    }
}

fn soak(face: Face, name: &str) {
    let place = Place::new();
    if is_child() {
        return server::serve(face, &place);
    }
    let test = format!("no_wrong_decision_and_nothing_that_grows_{name}");
    let mut server = Partner::start(&test, &[(server::DIR, place.path())]);
    let doors = clients::Doors::read(&server.hear());
    let (mut random, mut tally) = (Random::new(), Tally::default());
    let mut model = Model::new(&place, &mut server);
    println!("seed {}", random.seed());

    let mut rounds = |server: &mut Partner, model: &mut Model, time: Duration| {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for _ in 0..1 + random.below(3) {
                model.change(&mut random, &place, server);
                tally.changes += 1;
            }
            let kinds = (0..BATCH).map(|_| Kind::any(&mut random));
            clients::run_together(kinds, &doors, model, &mut tally);
        }
    };
    // A third of it until everything is there that is made once and kept.
    rounds(&mut server, &mut model, time() / 3);
    let before = measured(&mut server, None);
    rounds(&mut server, &mut model, time() * 2 / 3);
    let after = measured(&mut server, Some(before));
    println!("{tally}");
    println!("{} to {} KiB in use, {} to {} descriptors", before.0, after.0, before.1, after.1);
    // Each client was asked about once.
    assert_eq!(server.ask("counters?"), format!("{} {} 0 0", tally.let_in(), tally.refused()));
    assert!(tally.let_in() > 20 && tally.refused() > 20 && tally.changes > 20, "hardly anything happened");
    assert_eq!(after.1, before.1, "descriptors");
    assert!(after.0 * 100 <= before.0 * 105, "KiB: {before:?}, then {after:?}");
    assert!(server.end().success());
}

/// Resident memory in KiB and descriptors, when all clients are gone.
fn measured(server: &mut Partner, before: Option<(u64, usize)>) -> (u64, usize) {
    let pid = server.pid();
    let idle: usize = server.ask("idle?").parse().unwrap();
    wait_until("all clients are gone", || descriptors(pid) == idle);
    let mut kib = 0;
    wait_until("no more than 5 % above what it was", || {
        kib = server.ask("resident?").parse().unwrap();
        // libzmq lets go of a connection's memory a little after its descriptor.
        before.is_none_or(|(before, _)| kib * 100 <= before * 105)
    });
    (kib, descriptors(pid))
}
