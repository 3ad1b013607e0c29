//! A statistical test, on demand: does the time of a PLAIN decision depend on users and passwords?
//!
//! ```sh
//! # Fails where two classes of refusals can be told apart.
//! cargo bench -p zmq-auth-benches --bench password_timing
//! # The same with a comparison that leaks: fails where the leak isn't found.
//! cargo bench -p zmq-auth-benches --bench password_timing -- --planted
//! ```
//!
//! `handle_zap_message` decides requests of several classes, all of which must be refused, in random order, and Welch's
//! t is computed for each pair of classes, as dudect does: the slowest few percent are dropped as interruptions. From
//! |t| = 4.5 on, two classes count as distinguishable. There are 200,000 decisions of each. Run it on an idle machine.
//!
//! There are two tables: a small one, which is always in the processor's caches, and a large one, which mostly isn't.
//! Both are rebuilt again and again, so that no class is lucky with its hashes or its memory. Without Cargo's
//! `--bench`, as in `cargo test --benches`, the program only runs through, and judges nothing.

mod planted;
mod requests;
mod welch;

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use planted::Planted;
use requests::{CLASSES, Request, Table};
use welch::Sample;
use zmq_auth_benches::random::SplitMix64;

/// The |t| from which two classes count as distinguishable: dudect's bound.
const THRESHOLD: f64 = 4.5;
/// The number of decisions of each class.
const DECISIONS: usize = 200_000;
/// The share of decisions that is dropped, from the slow end.
const DROPPED: f64 = 0.05;
/// The number of decisions in a row.
const BATCH: usize = 512;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let planted = arguments.iter().any(|argument| argument == "--planted");
    let bench = arguments.iter().any(|argument| argument == "--bench");
    let tables = if bench {
        [Table { users: 32, batches: 1 }, Table { users: 400_000, batches: 20 }]
    } else {
        [Table { users: 32, batches: 1 }, Table { users: 400, batches: 1 }]
    };
    let decisions = if bench { DECISIONS } else { 200 };
    let mut apart = 0;
    for table in &tables {
        println!("{} users", table.users);
        let times = if planted {
            let make = || Planted::new(table.entries());
            measure(table, decisions, make, Planted::decide)
        } else {
            measure(table, decisions, || table.policy(), |policy, request| policy.handle_zap_message(request))
        };
        apart += usize::from(judge(times));
    }
    if !bench {
        return ExitCode::SUCCESS;
    }
    let (verdict, good) = match (planted, apart) {
        (false, 0) => ("no class of refusals can be told from another", true),
        (false, _) => ("FAILED: classes of refusals can be told apart", false),
        (true, 2) => ("the planted leak is found", true),
        (true, _) => ("FAILED: the planted leak is not found", false),
    };
    println!("{verdict}");
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Measures the nanoseconds of each decision, by class, in random order.
fn measure<P, T>(
    table: &Table,
    decisions: usize,
    make: impl Fn() -> P,
    decide: impl Fn(&P, &Request) -> T,
) -> Vec<Vec<f64>> {
    let mut numbers = SplitMix64(u64::from(std::process::id()));
    let mut times = vec![Vec::with_capacity(decisions); CLASSES.len()];
    let mut policy = make();
    let mut batches = 0;
    while times.iter().any(|times| times.len() < decisions) {
        if batches == table.batches {
            policy = make();
            batches = 0;
        }
        batches += 1;
        let batch: Vec<(usize, Request)> = (0..BATCH)
            .map(|_| {
                let class = numbers.below(CLASSES.len());
                (class, table.request(class, &mut numbers))
            })
            .collect();
        for (class, request) in &batch {
            let start = Instant::now();
            let reply = black_box(decide(&policy, black_box(request)));
            let took = start.elapsed();
            drop(reply);
            // Decisions of a class go on even if it has enough.
            if times[*class].len() < decisions {
                times[*class].push(took.as_nanos() as f64);
            }
        }
    }
    times
}

/// Prints every class and every distinguishable pair, and returns whether there is one.
fn judge(times: Vec<Vec<f64>>) -> bool {
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let cut = all[((all.len() - 1) as f64 * (1.0 - DROPPED)) as usize];
    let samples: Vec<Sample> =
        times.iter().map(|times| Sample::of(times.iter().copied().filter(|time| *time <= cut))).collect();
    println!("  decisions over {cut} ns are dropped; |t| from {THRESHOLD} on tells two classes apart");
    println!("  {:>9} {:>9}  {:44} t against each class", "kept", "mean ns", "class");
    let mut apart = false;
    for (class, sample) in CLASSES.iter().zip(&samples) {
        let row: Vec<f64> = samples.iter().map(|other| sample.t(other)).collect();
        apart |= row.iter().any(|t| t.is_nan() || t.abs() >= THRESHOLD);
        let row: Vec<String> = row.iter().map(|t| format!("{t:>8.2}")).collect();
        println!("  {:>9} {:>9.2}  {class:44}{}", sample.count, sample.mean, row.join(""));
    }
    apart
}
