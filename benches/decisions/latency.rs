//! Latency of one request at a time.

use anyhow::Result;
use zmq_auth_benches::report::{self, Better, Section};

use super::contestant::Contestant;
use super::driver::Load;
use super::placement::{Cores, Placement};
use super::population::Population;
use super::requests::Requests;
use super::rotation::run_in_rotation;
use super::{Bench, floor, ours, pyzmq};

const SIZE: u32 = 1_000;

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let how = "One socket, one request at a time: from before the request is sent until its answer has been received; \
     half of them are accepted. Client and handler share one core, or have one each.";
    let mut section = Section {
        key: "decisions-latency",
        title: "Latency of one request at a time".into(),
        how: how.into(),
        unit: "µs",
        better: Better::Lower,
        baseline: Some(floor::LOOKUP),
        records: Vec::new(),
    };
    let of_store: [fn(u32) -> Population; 2] = [Population::Keys, Population::Users];
    for (of, named) in of_store.into_iter().zip(["CURVE", "PLAIN"]) {
        let cores = Cores::here()?;
        for &placement in cores.placements() {
            cores.confine(placement)?;
            measure(bench, of(SIZE), &cores, placement, |quantile, name, latency| {
                section.add(&format!("{quantile}, {named}, {}", placement.shown()), name, latency);
            })?;
        }
    }
    report::write(section)
}

fn measure(
    bench: &Bench,
    population: Population,
    cores: &Cores,
    placement: Placement,
    mut record: impl FnMut(&str, &'static str, f64),
) -> Result<()> {
    let requests = Requests::of(population);
    let driver = &bench.driver;
    let mut contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(floor::bare(driver, &requests)?),
        Box::new(floor::with_lookup(driver, &requests, population)?),
        Box::new(ours::thread(ours::THREAD, driver, &requests, &ours::policy(population)?)?),
        Box::new(ours::tokio(driver, &requests, &ours::policy(population)?)?),
        pyzmq::contestant(driver, &requests, population)?,
    ];
    cores.separate(placement)?;
    let load = Load { sockets: 1, window: 1, seconds: bench.extent.seconds, warm_up: 200, latencies: true };
    run_in_rotation(bench.extent.repetitions, &load, &mut contestants, |name, measured| {
        for (quantile, shown_as) in [(0.5, "p50"), (0.99, "p99")] {
            record(shown_as, name, measured.latency(quantile));
        }
    })
}
