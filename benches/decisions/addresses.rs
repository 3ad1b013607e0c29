//! Decisions by address rules: single addresses and subnets, IPv4 and IPv6.

use anyhow::Result;

use super::contestant::Contestant;
use super::population::{Family, Population, Shape};
use super::requests::Requests;
use super::stores::{Figures, grouped};
use super::{Bench, czmq, floor, ours, pyzmq};

const KEYS: [&str; 2] = ["decisions-addresses", "decisions-addresses-cpu"];
const HOW: &str = "NULL mechanism, 1 socket, and an allow list of this many rules, which covers half of the requests' \
     addresses. Subnets have 20 to 32 bits (IPv4) or 52 to 64 (IPv6). The floor looks the address's text up in \
     a hash set of as many addresses; czmq and pyzmq compare text too, and have no subnets.";

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let mut figures = Figures::new(KEYS, "Decisions by address rules", HOW);
    for (shape, named) in [(Shape::Single, "addresses"), (Shape::Subnet, "subnets")] {
        for (family, version) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
            for &size in bench.extent.rules {
                let population = Population::Addresses(family, shape, size);
                let rules = format!("{version} {named}, {}", grouped(size));
                figures.row(bench, &rules, 1, &mut contestants(bench, population)?)?;
            }
        }
    }
    figures.write()
}

fn contestants(bench: &Bench, population: Population) -> Result<Vec<Box<dyn Contestant>>> {
    let requests = Requests::of(population);
    let driver = &bench.driver;
    let mut contestants: Vec<Box<dyn Contestant>> = vec![
        Box::new(floor::bare(driver, &requests)?),
        Box::new(floor::with_lookup(driver, &requests, population)?),
        Box::new(ours::thread(ours::THREAD, driver, &requests, &ours::policy(population)?)?),
    ];
    if matches!(population, Population::Addresses(Family::V4, Shape::Single, _)) {
        contestants.extend(czmq::contestant(driver, &requests, population)?);
        contestants.push(pyzmq::contestant(driver, &requests, population)?);
    }
    Ok(contestants)
}
