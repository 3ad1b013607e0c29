//! Benchmark of `zmq-auth gate`, compared with a bare `zmq_proxy` with the same security in front, and with no proxy at
//! all.
//!
//! Gate and proxy are separate processes. The clients and the service are threads of this one, each side with its own
//! context. Clients reach the front over TCP, and the front reaches the service over ipc. Without a proxy, the service
//! is the CURVE server itself. The number of outstanding messages is small enough for every queue, so that none is
//! dropped. The contestants take turns in every repetition.
//!
//! ```sh
//! cargo bench -p zmq-auth-benches --bench gate
//! ```
//!
//! With `-- reply`, `-- publish` or `-- collect`, runs only that kind. Takes about four minutes. Without Cargo's
//! `--bench`, as in `cargo test --benches`, it only runs through once, in seconds.

mod clients;
mod contestants;
mod place;
mod proxy;
mod service;
mod tables;

use std::time::Duration;

use anyhow::Result;
use clients::Load;
use contestants::{CONTESTANTS, Running};
use place::Place;
use tables::Tables;
use zmq_auth_benches::report;

/// The ZAP domain of the front's socket.
const DOMAIN: &str = "bench";
/// The kinds of sockets, named as in the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// DEALER clients, and a service that echoes.
    Reply,
    /// SUB clients that have subscribed to everything.
    Publish,
    /// PUSH clients.
    Collect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Curve,
    Null,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Reply => "reply",
            Kind::Publish => "publish",
            Kind::Collect => "collect",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Kind::Reply, Kind::Publish, Kind::Collect].into_iter().find(|kind| kind.name() == name)
    }
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Mechanism::Curve => "CURVE",
            Mechanism::Null => "NULL",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Mechanism::Curve, Mechanism::Null].into_iter().find(|mechanism| mechanism.name() == name)
    }
}

/// How often and how long each load is measured.
struct Extent {
    sizes: Vec<usize>,
    clients: Vec<usize>,
    time: Duration,
    repetitions: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, kind, mechanism, directory] = arguments.as_slice()
        && word == proxy::SERVE
    {
        return proxy::run(kind, mechanism, directory);
    }
    let extent = if report::is_benchmark() {
        let time = Duration::from_millis(300);
        Extent { sizes: vec![64, 1_024, 65_536], clients: vec![1, 32], time, repetitions: 5 }
    } else {
        Extent { sizes: vec![64], clients: vec![1, 4], time: Duration::from_millis(20), repetitions: 1 }
    };
    let chosen: Vec<Kind> = arguments.iter().filter_map(|argument| Kind::named(argument)).collect();

    let place = Place::new()?;
    let mut tables = Tables::new();
    for (kind, mechanism) in [
        (Kind::Reply, Mechanism::Curve),
        (Kind::Reply, Mechanism::Null),
        (Kind::Publish, Mechanism::Curve),
        (Kind::Collect, Mechanism::Curve),
    ] {
        if chosen.is_empty() || chosen.contains(&kind) {
            measure(&place, kind, mechanism, &extent, &mut tables)?;
        }
    }
    tables.into_sections().into_iter().try_for_each(report::write)
}

fn measure(place: &Place, kind: Kind, mechanism: Mechanism, extent: &Extent, tables: &mut Tables) -> Result<()> {
    // All of them run all the time; those whose turn it isn't are idle.
    let running = CONTESTANTS.map(|contestant| Running::start(contestant, place, kind, mechanism));
    let mut running = running.into_iter().collect::<Result<Vec<_>>>()?;
    let count = running.len();
    for repetition in 0..extent.repetitions {
        for &size in &extent.sizes {
            for &clients in &extent.clients {
                // For round trips, each client has one outstanding message.
                let windows = [Some(window(kind, size, clients)), (kind == Kind::Reply).then_some(clients)];
                for window in windows.into_iter().flatten() {
                    let load = Load { kind, mechanism, size, clients, window, time: extent.time };
                    // A different one begins each time.
                    for turn in 0..count {
                        let running = &mut running[(repetition + turn) % count];
                        tables.add(&load, running.contestant, &running.measure(place, load)?);
                    }
                }
            }
        }
    }
    Ok(())
}

/// The number of I/O threads for fronts and clients, as in the gate.
fn io_threads() -> i32 {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(1, 4) as i32
}

/// The number of outstanding messages: about 4 MiB in all, and few enough for each queue. (A queue with the high-water
/// mark 1,000 may be full with 501 messages, because its reader reports progress only every 500.)
fn window(kind: Kind, size: usize, clients: usize) -> usize {
    let copies = if kind == Kind::Publish { clients } else { 1 };
    (4 * 1_024 * 1_024 / size / copies).clamp(8, 256)
}
