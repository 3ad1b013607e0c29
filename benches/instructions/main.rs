//! A guard on the cost of a decision: the handler's instructions, compared with committed figures.
//!
//! ```sh
//! # Fails where a case differs by more than 3 %; with `-- --update`, rewrites benches/instructions.txt.
//! cargo bench -p zmq-auth-benches --no-default-features --bench instructions
//! ```
//!
//! Needs valgrind. It counts this crate's own work in the handler's thread, from receiving frames from libzmq to
//! passing it the reply's: Rust code, and the C functions that it calls (allocation, copies, the clock), but not
//! libzmq. Each case runs twice, the second time with twice as many decisions; the difference doesn't include the costs
//! of start and end.
//!
//! With the library's features, the counts are printed and not compared. Without Cargo's `--bench`, as in
//! `cargo test --benches`, the cases only run through once, without valgrind.

mod callgrind;
mod cases;
mod figures;

use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail};
use cases::Case;
use figures::Figures;

/// The number of decisions in the shorter run; the longer one has twice as many.
const DECISIONS: usize = 4_000;

/// Whether the library's features are enabled, each of which adds some instructions.
const FEATURES: bool = cfg!(feature = "full");

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the figures are as committed.
fn run() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, name, decisions] = arguments.as_slice()
        && flag == callgrind::CASE
    {
        Case::named(name)?.run(decisions.parse()?)?;
        return Ok(true);
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        for case in Case::all() {
            case.run(100)?;
        }
        return Ok(true);
    }
    let update = match arguments.iter().filter(|argument| *argument != "--bench").collect::<Vec<_>>()[..] {
        [] => false,
        [only] if only == "--update" => true,
        ref unknown => bail!("{unknown:?}: --update is the one argument"),
    };
    if update && FEATURES {
        bail!("the committed figures are those without features");
    }
    callgrind::check()?;
    let now = measure()?;
    if update {
        now.write()?;
        print!("{now}");
        return Ok(true);
    }
    if FEATURES {
        println!("{now}The committed figures are those without features: nothing is compared.");
        return Ok(true);
    }
    now.compare(&Figures::committed()?)
}

fn measure() -> Result<Figures> {
    // Taken from the end, where the large stores are, which take the longest.
    let (jobs, counts) = (Mutex::new(Case::all()), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        loop {
            let Some(Case { name, .. }) = jobs.lock().expect("no worker panics").pop() else { return Ok(()) };
            let count = callgrind::instructions(name, DECISIONS).with_context(|| format!("case {name:?}"))?;
            counts.lock().expect("no worker panics").push((name.to_owned(), count.round() as u64));
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(4);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    Ok(Figures::new(counts.into_inner().expect("no worker panics")))
}
