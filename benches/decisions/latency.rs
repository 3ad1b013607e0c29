//! One request at a time.

use anyhow::Result;

use super::contestant::Contestant;
use super::driver::Load;
use super::population::Population;
use super::report::{self, Better, Section};
use super::requests::Requests;
use super::stores::shown;
use super::turns::turns;
use super::{Bench, floor, ours, pyzmq};

const SIZE: u32 = 1_000;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let how = "One socket, one request under way: from before the request is sent until its answer has been received, half of them \
         let in.";
    let mut section = Section {
        key: "decisions-latency",
        title: "Latency of one request at a time".into(),
        how: how.into(),
        unit: "µs",
        better: Better::Lower,
        baseline: Some(floor::FLOOR),
        records: Vec::new(),
    };
    let of_store: [fn(u32) -> Population; 2] = [Population::Keys, Population::Users];
    for (of, named) in of_store.into_iter().zip(["CURVE", "PLAIN"]) {
        let population = of(SIZE);
        let requests = Requests::of(population);
        let driver = &bench.driver;
        let mut contestants: Vec<Box<dyn Contestant>> = vec![
            Box::new(floor::bare(driver, &requests)?),
            Box::new(floor::with_lookup(driver, &requests, population)?),
            Box::new(ours::thread(ours::THREAD, driver, &requests, &ours::policy(population)?)?),
            Box::new(ours::tokio(driver, &requests, &ours::policy(population)?)?),
            pyzmq::contestant(driver, &requests, population)?,
        ];
        let load = Load { sockets: 1, window: 1, seconds: bench.extent.seconds, warm_up: 200, latencies: true };
        turns(bench.extent.repetitions, &load, &mut contestants, |name, measured| {
            for (quantile, shown_as) in [(0.5, "p50"), (0.99, "p99")] {
                section.add(
                    &format!("{shown_as}, {named}, {} in store", shown(SIZE)),
                    name,
                    measured.latency(quantile),
                );
            }
        })?;
    }
    report::write(section)
}
