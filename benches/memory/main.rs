//! Benchmark of threads and resident memory: of an idle handler, and of each thing that it holds.
//!
//! Each measurement is a separate process, and counts the growth of its resident memory and of its number of threads.
//!
//! ```sh
//! cargo bench -p zmq-auth-benches --bench memory
//! ```
//!
//! Takes some seconds. Without Cargo's `--bench`, as in `cargo test --benches`, it only runs through once with little.

mod idle;
mod pending;
mod usage;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use zmq_auth_benches::report::{self, Better, Section};

/// What is measured, and how many of it.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    front_end: &'static str,
    count: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, measure, name, front_end, count] = arguments.as_slice()
        && measure == "measure"
    {
        return run(name, front_end, count.parse()?);
    }
    let bench = report::is_benchmark();
    let case = |name, front_end, full, small| Case { name, front_end, count: if bench { full } else { small } };
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
        "Growth of a process for each item: a started handler, a running callback (200 in threads, 10,000 in \
     tasks, with the request that waits for it), a domain with one password, a rule for one address or one \
     subnet (100,000 of them).",
        "bytes each",
    );
    let mut threads = section(
        "memory-threads",
        "Threads",
        "Additional threads for a started handler (in an existing runtime), and for each running callback.",
        "threads each",
    );
    for _ in 0..if bench { 5 } else { 1 } {
        for case in cases {
            let (grown, more) = measure(case)?;
            let count = case.count as f64;
            memory.add(case.name, case.front_end, grown as f64 / count);
            if case.front_end != "policy" {
                threads.add(case.name, case.front_end, more as f64 / count);
            }
        }
    }
    report::write(memory)?;
    report::write(threads)
}

/// Returns bytes and threads.
fn measure(case: Case) -> Result<(u64, u64)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["measure", case.name, case.front_end, &case.count.to_string()]).stderr(Stdio::inherit());
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    let said = String::from_utf8(output.stdout)?;
    let (bytes, threads) = said.trim().split_once(' ').context("two numbers")?;
    Ok((bytes.parse()?, threads.parse()?))
}

fn run(name: &str, front_end: &str, count: usize) -> Result<()> {
    let usage::Usage { bytes, threads } = match (name, front_end) {
        ("at rest", "thread") => idle::thread()?,
        ("at rest", "tokio") => idle::tokio()?,
        ("pending callback", "thread") => pending::thread(count)?,
        ("pending callback", "tokio") => pending::tokio(count)?,
        ("domain", _) => idle::domains(count)?,
        ("address rule", _) => idle::addresses(count)?,
        ("subnet rule", _) => idle::subnets(count)?,
        _ => anyhow::bail!("no case: {name}, {front_end}"),
    };
    println!("{bytes} {threads}");
    Ok(())
}
