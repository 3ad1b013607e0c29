//! Latency and rate of decisions while the policy changes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use zmq_auth::{Authenticator, KeyDirectory, PublicKey};
use zmq_auth_benches::report::{self, Better, Section};

use super::contestant::Contestant;
use super::driver::{Load, Measured};
use super::placement::{Cores, Placement};
use super::population::{self, Family, Population, Shape};
use super::requests::Requests;
use super::stores::{full_rate, grouped};
use super::{Bench, DOMAIN, ours, watched};

const UNCHANGED: &str = "no changes";
const ELSEWHERE: &str = "changes elsewhere";
const CHANGING: &str = "changes";
const EVERY: Duration = Duration::from_millis(1);

const HOW: &str = "1 socket, 64 requests outstanding; the time from before a request is sent until its answer has been \
     received. One key is added or removed, or one rule added, every ms; replacing all of them, and reloading \
     the directory after a change of one file, is repeated without a pause. Elsewhere: the same changes to \
     another, unused policy of the same size, which show what a busy thread costs that doesn't touch the \
     policy.";

/// A kind of change, and the policy that it changes.
struct Case<'a> {
    work: String,
    population: Population,
    policy: Authenticator,
    pause: Duration,
    /// Makes the n-th change: to the policy that decides, or to the other one.
    change: Box<dyn Fn(bool, u64) -> Result<()> + Send + Sync + 'a>,
}

struct Figures {
    latency: Section,
    rate: Section,
    cost: Section,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    let section = |key, title: &str, how: &str, unit, better, baseline| Section {
        key,
        title: title.into(),
        how: how.into(),
        unit,
        better,
        baseline,
        records: Vec::new(),
    };
    let rate = "The same runs: answers per second.";
    let cost = "The same runs: how long one change occupied the thread that made it (for the directory, including writing \
     the file).";
    let mut figures = Figures {
        latency: section(
            "decisions-changes",
            "Latency while the policy changes",
            HOW,
            "µs",
            Better::Lower,
            Some(UNCHANGED),
        ),
        rate: section(
            "decisions-changes-rate",
            "Decisions while the policy changes",
            rate,
            "decisions/s",
            Better::Higher,
            Some(UNCHANGED),
        ),
        cost: section("decisions-changes-cost", "What a change costs", cost, "µs a change", Better::Lower, None),
    };
    let (keys, rules) = bench.extent.changing;
    measure(bench, one_key(keys)?, &mut figures)?;
    measure(bench, one_rule(rules)?, &mut figures)?;
    let all: Vec<PublicKey> = (0..keys.into()).map(ours::key).collect();
    measure(bench, all_keys(&all)?, &mut figures)?;
    let all: Vec<String> = (0..rules.into()).map(|number| population::rule(FAMILY, SHAPE, number)).collect();
    measure(bench, all_rules(&all)?, &mut figures)?;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    measure(bench, one_file(directory.path(), bench.extent.watched)?, &mut figures)?;
    report::write(figures.latency)?;
    report::write(figures.rate)?;
    report::write(figures.cost)
}

const FAMILY: Family = Family::V4;
const SHAPE: Shape = Shape::Subnet;

fn one_key(size: u32) -> Result<Case<'static>> {
    let population = Population::Keys(size);
    let (policy, both) = two_policies(|| ours::policy(population))?;
    // The key of nobody who asks.
    let key = ours::key(u64::from(size) * 3);
    let change = move |here, number: u64| {
        let policy = &both[usize::from(here)];
        match number % 2 {
            0 => policy.add_curve_key(DOMAIN, key)?,
            _ => _ = policy.remove_curve_key(DOMAIN, &key)?,
        }
        Ok(())
    };
    let work = format!("one key in {}", grouped(size));
    Ok(Case { work, population, policy, pause: EVERY, change: Box::new(change) })
}

fn one_rule(size: u32) -> Result<Case<'static>> {
    let population = Population::Addresses(FAMILY, SHAPE, size);
    let (policy, both) = two_policies(|| ours::policy(population))?;
    let change = move |here, number| {
        let rule = population::rule(FAMILY, SHAPE, u64::from(size) * 3 + number);
        Ok(both[usize::from(here)].allow([rule])?)
    };
    let work = format!("one rule in {}", grouped(size));
    Ok(Case { work, population, policy, pause: EVERY, change: Box::new(change) })
}

fn all_keys(keys: &[PublicKey]) -> Result<Case<'_>> {
    let population = Population::Keys(keys.len() as u32);
    let (policy, both) = two_policies(|| ours::policy(population))?;
    let change = move |here, _| Ok(both[usize::from(here)].configure_curve_keys(DOMAIN, keys.iter().copied())?);
    let work = format!("all {} keys", grouped(keys.len() as u32));
    Ok(Case { work, population, policy, pause: Duration::ZERO, change: Box::new(change) })
}

fn all_rules(rules: &[String]) -> Result<Case<'_>> {
    let population = Population::Addresses(FAMILY, SHAPE, rules.len() as u32);
    let (policy, both) = two_policies(|| ours::policy(population))?;
    let change = move |here, _| Ok(both[usize::from(here)].set_addresses(rules, [""; 0])?);
    let work = format!("all {} rules", grouped(rules.len() as u32));
    Ok(Case { work, population, policy, pause: Duration::ZERO, change: Box::new(change) })
}

fn one_file(below: &Path, size: u32) -> Result<Case<'static>> {
    let (store, elsewhere) = (watched::key_directory(below, size)?, KeyDirectory::open(below.join("keys"))?);
    // The changing file has the key of nobody who asks.
    watched::write_key(store.path(), size.into(), u64::from(size) * 3)?;
    let policy = Authenticator::new();
    policy.configure_curve_store(DOMAIN, &store)?;
    let both = [elsewhere, store];
    let change = move |here, number| {
        let store: &KeyDirectory = &both[usize::from(here)];
        watched::write_key(store.path(), size.into(), u64::from(size) * 3 + number)?;
        store.reload()?;
        Ok(())
    };
    let work = format!("one file in {}", grouped(size));
    Ok(Case { work, population: Population::Keys(size), policy, pause: Duration::ZERO, change: Box::new(change) })
}

/// Returns the policy that decides, and both, the other one first.
fn two_policies(make: impl Fn() -> Result<Authenticator>) -> Result<(Authenticator, [Authenticator; 2])> {
    let policy = make()?;
    Ok((policy.clone(), [make()?, policy]))
}

fn measure(bench: &Bench, case: Case<'_>, figures: &mut Figures) -> Result<()> {
    let requests = Requests::of(case.population);
    let mut contestant = ours::thread(ours::THREAD, &bench.driver, &requests, &case.policy)?;
    let (repetitions, seconds) = bench.extent.changes;
    let load = Load { latencies: true, seconds, ..full_rate(bench) };
    let mut variants = [UNCHANGED, ELSEWHERE, CHANGING];
    let cores = Cores::here()?;
    cores.separate(Placement::TwoCores)?;
    let mut changed = 0;
    for _ in 0..repetitions {
        for variant in variants {
            let mut run = || -> Result<Measured> {
                let measured = contestant.run(&load)?;
                measured.check(false).with_context(|| format!("{}, {variant}", case.work))?;
                Ok(measured)
            };
            let measured = match variant {
                UNCHANGED => run()?,
                _ => {
                    let (measured, cost) = run_with_changes(&case, &cores, variant == CHANGING, &mut changed, run)?;
                    figures.cost.add(&case.work, variant, cost);
                    measured
                }
            };
            figures.rate.add(&case.work, variant, measured.rate());
            for (quantile, shown_as) in [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")] {
                figures.latency.add(&format!("{}, {shown_as}", case.work), variant, measured.latency(quantile));
            }
        }
        variants.rotate_left(1);
    }
    Ok(())
}

/// Runs while another thread makes changes. Also returns the time for each change, in µs.
fn run_with_changes<T>(
    case: &Case<'_>,
    cores: &Cores,
    here: bool,
    changed: &mut u64,
    run: impl FnOnce() -> Result<T>,
) -> Result<(T, f64)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let changer = scope.spawn(|| -> Result<f64> {
            cores.use_spare_core()?;
            let (mut next, mut busy, first) = (Instant::now(), Duration::ZERO, *changed);
            // At least one change, however slow.
            while *changed == first || !stop.load(Ordering::Relaxed) {
                thread::sleep(next.saturating_duration_since(Instant::now()));
                let start = Instant::now();
                next = start + case.pause;
                (case.change)(here, *changed)?;
                *changed += 1;
                busy += start.elapsed();
            }
            Ok(busy.as_secs_f64() * 1e6 / (*changed - first) as f64)
        });
        let measured = run();
        stop.store(true, Ordering::Relaxed);
        let cost = changer.join().map_err(|_| anyhow!("the changing thread panicked"))?;
        Ok((measured?, cost?))
    })
}
