//! The table, and its figures as JSON.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

use hdrhistogram::Histogram;

use super::{HANDLERS, Handler, Measured, SLOW, pyzmq};

/// All runs of one handler with one load.
struct Cell {
    handler: Handler,
    load: usize,
    under_way: usize,
    /// In nanoseconds.
    latencies: Histogram<u64>,
}

pub(crate) struct Report {
    cells: Vec<Cell>,
}

impl Report {
    pub(crate) fn new(loads: &[usize]) -> Self {
        let histogram = || Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds");
        let cell = |handler, &load| Cell { handler, load, under_way: 0, latencies: histogram() };
        Report {
            cells: HANDLERS.iter().flat_map(|&handler| loads.iter().map(move |load| cell(handler, load))).collect(),
        }
    }

    pub(crate) fn add(&mut self, handler: Handler, load: usize, measured: &Measured) {
        let cell = self.cells.iter_mut().find(|cell| (cell.handler, cell.load) == (handler, load)).expect("a cell");
        cell.under_way = cell.under_way.max(measured.under_way);
        for latency in &measured.latencies {
            cell.latencies.saturating_record(latency.as_nanos() as u64);
        }
    }

    /// Each handler was measured, and under the load that the table names.
    pub(crate) fn check(&self) {
        for Cell { handler, load, under_way, latencies } in &self.cells {
            assert!(!latencies.is_empty(), "{handler:?} was not measured with {load}");
            let least = match handler {
                Handler::Thread | Handler::Tokio => load * 9 / 10,
                Handler::PyzmqThread | Handler::PyzmqAsyncio => usize::from(*load > 0),
            };
            assert!(*under_way >= least, "{handler:?} had {under_way} of {load} callbacks under way");
        }
    }

    /// Writes both files.
    pub(crate) fn save(&self) -> io::Result<()> {
        // Cargo's directory for files of benchmarks is one level below the target directory.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target directory").join("bench");
        fs::create_dir_all(&target)?;
        fs::write(target.join("slow_callbacks.md"), self.to_string())?;
        fs::write(target.join("slow_callbacks.json"), self.json())
    }

    /// The same handler without load.
    fn baseline(&self, of: &Cell) -> &Cell {
        self.cells.iter().find(|cell| cell.handler == of.handler && cell.load == 0).expect("a run without load")
    }

    fn json(&self) -> String {
        let mut cells = String::new();
        for cell in &self.cells {
            let [p50, p99, worst] = cell.figures();
            let _ = write!(
                cells,
                "{}\n    {{\"handler\": {:?}, \"slow_clients\": {}, \"slow_at_once\": {}, \"samples\": {}, \
                 \"p50_ns\": {p50}, \"p99_ns\": {p99}, \"worst_ns\": {worst}}}",
                if cells.is_empty() { "" } else { "," },
                cell.handler.name(),
                cell.load,
                cell.under_way,
                cell.latencies.len(),
            );
        }
        format!(
            "{{\n  \"setting\": {:?},\n  \"slow_callback_ns\": {},\n  \"cells\": [{cells}\n  ]\n}}\n",
            setting(),
            SLOW.as_nanos()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", setting())?;
        writeln!(
            f,
            "| handler | slow clients | slow at once | samples | p50 | p99 | worst | p50 ÷ own p50 with none |"
        )?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
        for cell in &self.cells {
            let [p50, p99, worst] = cell.figures();
            let ratio = p50 as f64 / self.baseline(cell).figures()[0] as f64;
            let ratio = if ratio < 10.0 { format!("{ratio:.1}") } else { format!("{ratio:.0}") };
            let (name, samples) = (cell.handler.name(), cell.latencies.len());
            let [p50, p99, worst] = [p50, p99, worst].map(shown);
            writeln!(
                f,
                "| {name} | {} | {} | {samples} | {p50} | {p99} | {worst} | {ratio} |",
                cell.load, cell.under_way
            )?;
        }
        Ok(())
    }
}

impl Cell {
    /// p50, p99 and the worst, in nanoseconds.
    fn figures(&self) -> [u64; 3] {
        [self.latencies.value_at_quantile(0.5), self.latencies.value_at_quantile(0.99), self.latencies.max()]
    }
}

impl Handler {
    fn name(self) -> &'static str {
        match self {
            Handler::Thread => "thread face, sync callback",
            Handler::Tokio => "tokio face, async callback",
            Handler::PyzmqThread => "pyzmq ThreadAuthenticator, sync callback",
            Handler::PyzmqAsyncio => "pyzmq AsyncioAuthenticator, async callback",
        }
    }
}

fn shown(nanoseconds: u64) -> String {
    let duration = Duration::from_nanos(nanoseconds);
    match nanoseconds {
        ..1_000_000 => format!("{} µs", duration.as_micros()),
        1_000_000..1_000_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

/// Where and when.
fn setting() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned()));
    let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
    let rustc = Command::new("rustc").arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    let (major, minor, patch) = zmq::version();
    format!(
        "{}; {}, {cores} threads; zmq-auth {} with libzmq {major}.{minor}.{patch}, {}; {}",
        jiff::ZonedDateTime::now().date(),
        cpu.unwrap_or_else(|| std::env::consts::ARCH.into()),
        env!("CARGO_PKG_VERSION"),
        String::from_utf8_lossy(&rustc).trim(),
        pyzmq::versions(),
    )
}
