//! Benchmark of a handler in one process: decisions per second, latency, and both while the policy changes.
//!
//! A load driver in C (`driver.c`) asks every contestant at its ZAP endpoint, over inproc, as libzmq does:
//!
//! - `floor`: a handler on raw libzmq calls that answers 200 to everything; `floor+lookup`: the same with one bare hash
//!   lookup of the client's credential;
//! - `zmq-auth` and `zmq-auth tokio`: this crate's front ends;
//! - `czmq`: its `zauth`, if libczmq is installed; `pyzmq`: its `ThreadAuthenticator`, in a separate process.
//!
//! ```sh
//! cargo bench -p zmq-auth-benches --bench decisions                      # all, about ten minutes
//! cargo bench -p zmq-auth-benches --bench decisions -- decisions-curve   # the sections whose key holds this
//! cargo bench -p zmq-auth-benches --bench decisions -- --repetitions 3
//! ```
//!
//! The report goes to `target/bench`. Without Cargo's `--bench`, as in `cargo test --benches`, it only runs through
//! once with small stores, in seconds.

mod addresses;
mod changes;
mod contestant;
mod czmq;
mod driver;
mod floor;
mod latency;
mod ours;
mod placement;
mod population;
mod pyzmq;
mod requests;
mod rotation;
mod stores;
mod watched;

use std::sync::Arc;

use anyhow::{Result, bail};
use driver::Driver;
use zmq_auth_benches::report;

/// The domain that `driver.c` asks about.
const DOMAIN: &str = "bench";

/// What all sections share.
struct Bench {
    driver: Arc<Driver>,
    extent: Extent,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// Many short ones, so that other load on the machine affects all contestants of a repetition alike.
    repetitions: usize,
    /// The length of a run of one contestant.
    seconds: f64,
    /// The number of answers before the clock starts.
    warm_up: u64,
    /// Repetitions and seconds with a changing policy: a change may take as long as a short run.
    changes: (usize, f64),
    /// The numbers of keys or users in a store.
    stores: &'static [u32],
    /// The numbers of address rules.
    rules: &'static [u32],
    /// The largest store for contestants that load slowly.
    slow_up_to: u32,
    /// The number of files in a watched directory, and of users in a watched file.
    watched: u32,
    /// The numbers of keys and rules in a changing policy.
    changing: (u32, u32),
}

const FULL: Extent = Extent {
    repetitions: 15,
    seconds: 0.12,
    warm_up: 2_000,
    changes: (5, 0.8),
    stores: &[1, 1_000, 100_000, 1_000_000],
    rules: &[1, 1_000, 100_000],
    slow_up_to: 100_000,
    watched: 100_000,
    changing: (1_000_000, 100_000),
};

/// For tests: just runs through.
const TINY: Extent = Extent {
    repetitions: 1,
    seconds: 0.02,
    warm_up: 10,
    changes: (1, 0.04),
    stores: &[1, 100],
    rules: &[1, 100],
    slow_up_to: 100,
    watched: 100,
    changing: (100, 100),
};

/// A function that measures a section, and those whose keys begin with its key.
type Measure = fn(&Bench) -> Result<()>;

const SECTIONS: [(&str, Measure); 6] = [
    ("decisions-curve", stores::curve),
    ("decisions-plain", stores::plain),
    ("decisions-watched", watched::run),
    ("decisions-addresses", addresses::run),
    ("decisions-latency", latency::run),
    ("decisions-changes", changes::run),
];

fn main() -> Result<()> {
    let (filters, repetitions) = arguments()?;
    let mut extent = if report::is_benchmark() { FULL } else { TINY };
    if let Some(repetitions) = repetitions {
        (extent.repetitions, extent.changes.0) = (repetitions, repetitions);
    }
    let bench = Bench { driver: Arc::new(Driver::compile()?), extent };
    let chosen = |key: &str| filters.is_empty() || filters.iter().any(|filter| key.contains(filter));
    let sections: Vec<_> = SECTIONS.into_iter().filter(|(key, _)| chosen(key)).collect();
    for (key, measure) in sections {
        eprintln!("{key} …");
        measure(&bench)?;
    }
    Ok(())
}

fn arguments() -> Result<(Vec<String>, Option<usize>)> {
    use lexopt::{Arg, ValueExt};
    let (mut filters, mut repetitions) = (Vec::new(), None);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("bench") => {}
            Arg::Long("repetitions") => repetitions = Some(parser.value()?.parse()?),
            Arg::Value(filter) => filters.push(filter.string()?),
            other => bail!("{}; see the head of benches/decisions/main.rs", other.unexpected()),
        }
    }
    Ok((filters, repetitions))
}
