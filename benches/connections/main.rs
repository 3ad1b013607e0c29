//! Benchmark of whole connections: TCP, the CURVE handshake, one message each way, close.
//!
//! The server of each contestant is a separate process: a ROUTER socket that echoes, and a handler with a directory of
//! 100 keys. The clients are threads of this process, with a new socket for every connection. The contestants take
//! turns in every repetition. At the end comes a reconnect storm: see `storm`.
//!
//! ```sh
//! cargo bench -p zmq-auth-benches --bench connections
//! ```
//!
//! With `-- storm`, runs only the storm. Takes about ten minutes, and longer the first time, when it builds the
//! contestants that need a separate build. Without Cargo's `--bench`, as in `cargo test --benches`, it only runs
//! through once, in seconds.

mod client;
mod contestants;
mod czmq;
mod floor;
mod serve;
mod server;
mod storm;
mod table;

use anyhow::Result;
use contestants::Available;
use server::{KeyFiles, Server};
use table::Tables;
use zmq_auth_benches::report;

/// The ZAP domain of the server's socket.
const DOMAIN: &str = "bench";
/// The number of keys in the directory of each contestant except the first two.
const KEYS: usize = 100;

/// The number of connections, and how many of them are made at once.
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
    if let [_, clients, directory, endpoint, count] = arguments.as_slice()
        && clients == storm::CLIENTS
    {
        return storm::run_clients(std::path::Path::new(directory), endpoint, count.parse()?);
    }
    let (extents, repetitions, storm_clients) = if report::is_benchmark() {
        let extent = |at_once, connections| Extent { at_once, connections };
        (vec![extent(1, 500), extent(32, 2_000), extent(256, 4_000)], 5, 5_000)
    } else {
        (vec![Extent { at_once: 1, connections: 3 }, Extent { at_once: 4, connections: 8 }], 1, 20)
    };

    let files = KeyFiles::new()?;
    let (here, missing) = contestants::find();
    if !arguments.iter().any(|argument| argument == "storm") {
        measure_connections(&here, &missing, &files, &extents, repetitions)?;
    }
    report::write(storm::measure(&here, &files, &missing, storm_clients, repetitions.min(3))?)
}

fn measure_connections(
    here: &[Available],
    missing: &[String],
    files: &KeyFiles,
    extents: &[Extent],
    repetitions: usize,
) -> Result<()> {
    // All servers run all the time; those whose turn it isn't are idle.
    let here = here.iter().filter(|available| available.contestant.is_in_the_tables());
    let servers = here.map(|contestant| Server::start(contestant, files)).collect::<Result<Vec<_>>>()?;
    for server in &servers {
        client::run(files, server.endpoint(), Extent { at_once: 1, connections: extents[0].connections.min(50) })?;
    }
    let mut tables = Tables::new(missing);
    for repetition in 0..repetitions {
        for &extent in extents {
            // A different one begins each time.
            for turn in 0..servers.len() {
                let server = &servers[(repetition + turn) % servers.len()];
                let before = server.cpu()?;
                let timings = client::run(files, server.endpoint(), extent)?;
                tables.add(extent, server.contestant(), &timings, server.cpu()?.saturating_sub(before));
            }
        }
    }
    tables.into_sections().into_iter().try_for_each(report::write)
}
