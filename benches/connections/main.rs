//! Benchmark of whole connections: TCP, the CURVE handshake, one message each way, close.
//!
//! The server of each contestant is a process of its own: one ROUTER socket that echoes, and a handler with a directory of
//! 100 keys beside it. The clients are threads of this process, each with a socket for every connection. The contestants
//! take turns in every repetition.
//!
//! ```sh
//! cargo bench -p zmq-auth-benches --bench connections
//! ```
//!
//! Takes about two minutes. Without Cargo's `--bench`, as in `cargo test --benches`, it only runs through once, in seconds.

mod client;
mod czmq;
mod floor;
mod serve;
mod server;
mod table;

use anyhow::Result;
use server::{KeyFiles, Server};
use table::Tables;
use zmq_auth_benches::report;

/// Of the server's socket.
const DOMAIN: &str = "bench";
/// In the directory of each contestant but the first two.
const KEYS: usize = 100;

/// Who answers the server's ZAP requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contestant {
    /// Nobody: CURVE lets everyone in.
    NoZap,
    /// The least that a handler can do: raw calls of libzmq, and 200 to all.
    Floor,
    Thread,
    Tokio,
    Pyzmq,
    Czmq,
}

const CONTESTANTS: [Contestant; 6] =
    [Contestant::NoZap, Contestant::Floor, Contestant::Thread, Contestant::Tokio, Contestant::Pyzmq, Contestant::Czmq];

impl Contestant {
    fn name(self) -> &'static str {
        match self {
            Contestant::NoZap => "no ZAP",
            Contestant::Floor => "floor",
            Contestant::Thread => "zmq-auth thread",
            Contestant::Tokio => "zmq-auth tokio",
            Contestant::Pyzmq => "pyzmq",
            Contestant::Czmq => "czmq",
        }
    }

    fn named(name: &str) -> Option<Self> {
        CONTESTANTS.into_iter().find(|contestant| contestant.name() == name)
    }
}

/// How many connections, and how many of them at once.
#[derive(Debug, Clone, Copy)]
struct Extent {
    at_once: usize,
    connections: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, serve, contestant, directory] = arguments.as_slice()
        && serve == server::SERVE
    {
        return serve::run(contestant, directory);
    }
    let (extents, repetitions) = if report::is_benchmark() {
        ([Extent { at_once: 1, connections: 500 }, Extent { at_once: 32, connections: 2_000 }], 5)
    } else {
        ([Extent { at_once: 1, connections: 3 }, Extent { at_once: 4, connections: 8 }], 1)
    };

    let files = KeyFiles::new()?;
    let missing = czmq::missing();
    let here = CONTESTANTS.into_iter().filter(|contestant| *contestant != Contestant::Czmq || missing.is_none());
    // All of them are there all the time; whose turn it isn't sleeps.
    let servers = here.map(|contestant| Server::start(contestant, &files)).collect::<Result<Vec<_>>>()?;
    for server in &servers {
        client::run(&files, server.endpoint(), Extent { at_once: 1, connections: extents[0].connections.min(50) })?;
    }
    let mut tables = Tables::new(missing.as_deref());
    for repetition in 0..repetitions {
        for extent in extents {
            // Another one begins each time.
            for turn in 0..servers.len() {
                let server = &servers[(repetition + turn) % servers.len()];
                let before = server.cpu()?;
                let timings = client::run(&files, server.endpoint(), extent)?;
                tables.add(extent, server.contestant(), &timings, server.cpu()?.saturating_sub(before));
            }
        }
    }
    tables.into_sections().into_iter().try_for_each(report::write)
}
