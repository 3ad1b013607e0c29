//! What a handler takes while it does nothing: threads, and resident memory, at rest and for each thing that it holds.
//!
//! Each measurement is a process of its own. Memory is the growth of what is resident, threads are those of the process
//! beyond what was there before.
//!
//! ```sh
//! cargo bench --features tokio --bench memory
//! ```
//!
//! Takes some seconds. Without Cargo's `--bench`, as in `cargo test`, it only runs through once with little.

mod held;
mod pending;
#[path = "../report/mod.rs"]
mod report;
mod usage;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use report::{Better, Section};

/// What is measured, with how many of it.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    face: &'static str,
    count: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, measure, name, face, count] = arguments.as_slice()
        && measure == "measure"
    {
        return run(name, face, count.parse()?);
    }
    let bench = report::is_benchmark();
    let case = |name, face, full, small| Case { name, face, count: if bench { full } else { small } };
    let cases = [
        case("at rest", "thread", 1, 1),
        case("at rest", "tokio", 1, 1),
        case("pending callback", "thread", 200, 4),
        case("pending callback", "tokio", 10_000, 4),
        case("domain", "policy", 10_000, 100),
        case("address rule", "policy", 100_000, 100),
        case("subnet rule", "policy", 100_000, 100),
    ];
    let section = |key, title: &str, how: &str, unit| Section {
        key,
        title: title.into(),
        how: how.into(),
        unit,
        better: Better::Lower,
        baseline: None,
        records: Vec::new(),
    };
    let mut memory = section(
        "memory",
        "Resident memory",
        "By how much a process grew, for each of what it holds: a handler that has started, a callback that is under way \
         (200 in threads, 10,000 in tasks, with the request that waits for it), a domain with one password, a rule for one \
         address or one subnet (100,000 of them).",
        "bytes each",
    );
    let mut threads = section(
        "memory-threads",
        "Threads",
        "How many threads came: with a handler that has started, in a runtime that was there before; and for each callback \
         that is under way.",
        "threads each",
    );
    for _ in 0..if bench { 5 } else { 1 } {
        for case in cases {
            let (grown, more) = measure(case)?;
            let count = case.count as f64;
            memory.add(case.name, case.face, grown as f64 / count);
            if case.face != "policy" {
                threads.add(case.name, case.face, more as f64 / count);
            }
        }
    }
    report::write(memory)?;
    report::write(threads)
}

/// Bytes and threads.
fn measure(case: Case) -> Result<(u64, u64)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["measure", case.name, case.face, &case.count.to_string()]).stderr(Stdio::inherit());
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    let said = String::from_utf8(output.stdout)?;
    let (bytes, threads) = said.trim().split_once(' ').context("two numbers")?;
    Ok((bytes.parse()?, threads.parse()?))
}

fn run(name: &str, face: &str, count: usize) -> Result<()> {
    let usage::Usage { bytes, threads } = match (name, face) {
        ("at rest", "thread") => held::thread()?,
        ("at rest", "tokio") => held::tokio()?,
        ("pending callback", "thread") => pending::thread(count)?,
        ("pending callback", "tokio") => pending::tokio(count)?,
        ("domain", _) => held::domains(count)?,
        ("address rule", _) => held::addresses(count)?,
        ("subnet rule", _) => held::subnets(count)?,
        _ => anyhow::bail!("no case: {name}, {face}"),
    };
    println!("{bytes} {threads}");
    Ok(())
}
