//! The sections of the report.

use std::time::Duration;

use hdrhistogram::Histogram;
use zmq_auth_benches::report::{Better, Section};

use super::{HANDLERS, Handler, Measured};

const HOW: &str = "A client asks the handler at its endpoint every 2 ms about a user in a table of passwords, while this \
     many others each wait for a CURVE callback that takes 50 ms. The handler and its clients are in one \
     process, for pyzmq a Python process: compare each handler with itself without slow callbacks.";

/// All runs of one handler with one load.
struct Cell {
    handler: Handler,
    load: usize,
    under_way: usize,
    /// The latencies of each run, in nanoseconds.
    runs: Vec<Histogram<u64>>,
}

pub(crate) struct Tables {
    cells: Vec<Cell>,
}

impl Tables {
    pub(crate) fn new(loads: &[usize]) -> Self {
        let cell = |handler, &load| Cell { handler, load, under_way: 0, runs: Vec::new() };
        Tables {
            cells: HANDLERS.iter().flat_map(|&handler| loads.iter().map(move |load| cell(handler, load))).collect(),
        }
    }

    pub(crate) fn add(&mut self, handler: Handler, load: usize, measured: &Measured) {
        let cell = self.cells.iter_mut().find(|cell| (cell.handler, cell.load) == (handler, load)).expect("a cell");
        cell.under_way = cell.under_way.max(measured.under_way);
        let mut run = Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
        for latency in &measured.latencies {
            run.saturating_record(latency.as_nanos() as u64);
        }
        cell.runs.push(run);
    }

    /// Checks that each handler was measured under the load that the table names.
    pub(crate) fn check(&self) {
        for Cell { handler, load, under_way, runs } in &self.cells {
            assert!(!runs.is_empty(), "{handler:?} was not measured with {load}");
            assert!(runs.iter().all(|run| !run.is_empty()), "{handler:?} answered nothing with {load}");
            let least = match handler {
                Handler::WithoutCallbacks => 0,
                Handler::Thread | Handler::Tokio => load * 9 / 10,
                Handler::PyzmqThread | Handler::PyzmqAsyncio => usize::from(*load > 0),
            };
            assert!(*under_way >= least, "{handler:?} had {under_way} of {load} callbacks under way");
        }
    }

    /// Sections for p50, p99 and the worst. The row's name has the load, and how many callbacks ran at once.
    pub(crate) fn sections(&self) -> [Section; 3] {
        [
            self.section("slow-callbacks-p50", "p50", |run| run.value_at_quantile(0.5)),
            self.section("slow-callbacks-p99", "p99", |run| run.value_at_quantile(0.99)),
            self.section("slow-callbacks-worst", "the worst", Histogram::max),
        ]
    }

    fn section(&self, key: &'static str, which: &str, of: fn(&Histogram<u64>) -> u64) -> Section {
        let title = format!("Latency of a fast domain beside slow callbacks, {which}");
        let under_way = self.cells.iter().map(|cell| {
            let samples: u64 = cell.runs.iter().map(Histogram::len).sum();
            format!("{} with {}: {} at once, {samples} answers", cell.handler.name(), cell.load, cell.under_way)
        });
        let how = format!("{HOW} Slow callbacks that ran: {}.", under_way.collect::<Vec<_>>().join("; "));
        let mut section =
            Section { key, title, how, unit: "µs", better: Better::Lower, baseline: None, records: Vec::new() };
        for cell in &self.cells {
            for run in &cell.runs {
                let micros = Duration::from_nanos(of(run)).as_secs_f64() * 1e6;
                section.add(&format!("{} slow clients", cell.load), cell.handler.name(), micros);
            }
        }
        section
    }
}

impl Handler {
    fn name(self) -> &'static str {
        match self {
            Handler::WithoutCallbacks => "thread, as many requests without callbacks",
            Handler::Thread => "thread, sync callback",
            Handler::Tokio => "tokio, async callback",
            Handler::PyzmqThread => "pyzmq ThreadAuthenticator, sync callback",
            Handler::PyzmqAsyncio => "pyzmq AsyncioAuthenticator, async callback",
        }
    }
}
