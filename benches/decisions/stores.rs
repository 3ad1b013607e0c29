//! Decisions per second from stores in memory, as they grow.

use anyhow::Result;
use zmq_auth_benches::report::{self, Better, Section};

use super::contestant::Contestant;
use super::driver::Load;
use super::placement::{Cores, Placement};
use super::population::Population;
use super::requests::Requests;
use super::rotation::run_in_rotation;
use super::{Bench, czmq, floor, ours, pyzmq};

const HOW: &str = "Requests over inproc, 64 outstanding on each DEALER socket; one thread, on its own core, has all sockets. \
     Members and strangers are drawn evenly from the whole store, so half of the requests are accepted, which \
     is checked.";
const CPU: &str = "The same runs: CPU time per decision, of all threads of the process except the clients'.";

/// Answers per second, and the handler's CPU time for each.
pub(crate) struct Figures {
    pub(crate) rate: Section,
    pub(crate) cpu: Section,
}

impl Figures {
    /// `keys` are those of the two sections.
    pub(crate) fn new(keys: [&'static str; 2], title: &str, how: &str) -> Self {
        let section = |key, title, how, unit, better| Section {
            key,
            title,
            how,
            unit,
            better,
            baseline: Some(floor::LOOKUP),
            records: Vec::new(),
        };
        let [rate, cpu] = keys;
        Figures {
            rate: section(rate, title.to_owned(), format!("{HOW} {how}"), "decisions/s", Better::Higher),
            cpu: section(cpu, format!("{title}: handler's CPU"), CPU.into(), "µs a decision", Better::Lower),
        }
    }

    /// Fills one row.
    pub(crate) fn row(
        &mut self,
        bench: &Bench,
        work: &str,
        sockets: usize,
        contestants: &mut [Box<dyn Contestant>],
    ) -> Result<()> {
        let load = Load { sockets, ..full_rate(bench) };
        let cores = Cores::here()?;
        cores.separate(Placement::TwoCores)?;
        run_in_rotation(bench.extent.repetitions, &load, contestants, |name, measured| {
            self.rate.add(work, name, measured.rate());
            self.cpu.add(work, name, measured.handler_cpu());
        })
    }

    pub(crate) fn write(self) -> Result<()> {
        report::write(self.rate)?;
        report::write(self.cpu)
    }
}

/// One socket that always has 64 outstanding requests.
pub(crate) fn full_rate(bench: &Bench) -> Load {
    let (seconds, warm_up) = (bench.extent.seconds, bench.extent.warm_up);
    Load { sockets: 1, window: 64, seconds, warm_up, latencies: false }
}

pub(crate) fn curve(bench: &Bench) -> Result<()> {
    let figures = Figures::new(["decisions-curve", "decisions-curve-cpu"], "Decisions from a set of CURVE keys", "");
    grow(bench, figures, Population::Keys, "key", true)
}

pub(crate) fn plain(bench: &Bench) -> Result<()> {
    let figures = Figures::new(["decisions-plain", "decisions-plain-cpu"], "Decisions from a table of PLAIN users", "");
    grow(bench, figures, Population::Users, "user", false)
}

fn grow(bench: &Bench, mut figures: Figures, of: fn(u32) -> Population, what: &str, with_tokio: bool) -> Result<()> {
    for &size in bench.extent.stores {
        let population = of(size);
        let requests = Requests::of(population);
        let driver = &bench.driver;
        let policy = ours::policy(population)?;
        let mut contestants: Vec<Box<dyn Contestant>> = vec![
            Box::new(floor::bare(driver, &requests)?),
            Box::new(floor::with_lookup(driver, &requests, population)?),
            Box::new(ours::thread(ours::THREAD, driver, &requests, &policy)?),
        ];
        if size <= bench.extent.slow_up_to {
            contestants.extend(czmq::contestant(driver, &requests, population)?);
            contestants.push(pyzmq::contestant(driver, &requests, population)?);
        }
        let store = format!("{} {}{}", grouped(size), what, if size == 1 { "" } else { "s" });
        figures.row(bench, &format!("16 sockets, {store}"), 16, &mut contestants)?;
        if with_tokio {
            contestants.insert(3, Box::new(ours::tokio(driver, &requests, &policy)?));
        }
        figures.row(bench, &format!("1 socket, {store}"), 1, &mut contestants)?;
    }
    figures.rate.records.sort_by_key(|record| record.work.starts_with("16"));
    figures.cpu.records.sort_by_key(|record| record.work.starts_with("16"));
    figures.write()
}

/// A number with thousands separators.
pub(crate) fn grouped(number: u32) -> String {
    match number {
        0..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{},{:03}", number / 1_000, number % 1_000),
        _ => format!("{},{:03},{:03}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000),
    }
}
