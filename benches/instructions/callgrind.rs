//! Instruction counts of a case, from callgrind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// The argument that makes this program run one case; the name and the number of decisions follow.
pub(crate) const CASE: &str = "--case";

const HINT: &str = "the instruction counts need valgrind (Debian: apt-get install valgrind)";

/// Fails if there is no valgrind.
pub(crate) fn check() -> Result<()> {
    let found = Command::new("valgrind").args(["--tool=callgrind", "--version"]).output().context(HINT)?;
    ensure!(found.status.success(), "{HINT}; this one failed: {}", String::from_utf8_lossy(&found.stderr));
    Ok(())
}

/// The number of instructions of one decision of the case.
pub(crate) fn instructions(case: &str, decisions: usize) -> Result<f64> {
    let (once, twice) = (run(case, decisions)?, run(case, 2 * decisions)?);
    ensure!(twice > once, "{once} instructions for {decisions} decisions, {twice} for twice as many");
    Ok((twice - once) as f64 / decisions as f64)
}

fn run(case: &str, decisions: usize) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--separate-threads=yes", "--demangle=no"])
        .args(["--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", directory.path().join("out").display()))
        .arg(std::env::current_exe()?)
        .args([CASE, case, &decisions.to_string()])
        // The C library's same memory functions on every processor.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-AVX512F,-AVX512VL,-ERMS,-FSRM")
        .stdin(Stdio::null())
        .output()
        .context(HINT)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    handler_threads(directory.path())
}

/// The instructions of all threads except the first, which asks. libzmq's threads run no Rust, so the rest is the
/// handler's.
fn handler_threads(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    let mut threads = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let thread = path.to_string_lossy().rsplit_once('-').and_then(|(_, thread)| thread.parse::<u32>().ok());
        if thread.is_some_and(|thread| thread > 1) {
            sum += own_work(&fs::read_to_string(&path)?).with_context(|| format!("{path:?}"))?;
            threads += 1;
        }
    }
    ensure!(threads > 0 && sum > 0, "callgrind counted nothing in the handler's thread");
    Ok(sum)
}

/// The code base that a function belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Rust,
    Libzmq,
    /// The C library and the like: counted if Rust calls it.
    C,
}

fn owner(function: &str) -> Owner {
    let function = function.split('\'').next().unwrap_or_default();
    let hashed = function.strip_suffix('E').and_then(|name| name.rsplit_once("17h"));
    if function.starts_with("_R") || hashed.is_some_and(|(_, hash)| hash.len() == 16) || function.contains("__rust") {
        Owner::Rust
    } else if function.starts_with("_Z") || function.starts_with("zmq_") {
        Owner::Libzmq
    } else {
        Owner::C
    }
}

/// The instructions of Rust's functions in callgrind's profile, and of C functions that they call.
fn own_work(profile: &str) -> Result<u64> {
    let (mut current, mut called) = (Owner::C, Owner::C);
    let mut sum = 0;
    let mut lines = profile.lines();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("fn=") {
            current = owner(name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            called = owner(name);
        } else if line.starts_with("calls=") {
            let inclusive = cost(lines.next().context("calls= is followed by its cost")?)?;
            if current == Owner::Rust && called == Owner::C {
                sum += inclusive;
            }
        } else if current == Owner::Rust && line.starts_with(|first: char| first.is_ascii_digit()) {
            sum += cost(line)?;
        }
    }
    Ok(sum)
}

/// The instructions in "<line> <instructions>".
fn cost(line: &str) -> Result<u64> {
    match line.split(' ').collect::<Vec<_>>()[..] {
        [_, cost] => Ok(cost.parse()?),
        _ => bail!("no cost line: {line:?}"),
    }
}
