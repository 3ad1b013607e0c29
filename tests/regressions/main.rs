//! Holes that were open once: how an attacker, or an unlucky program, would find each of them again.

#[path = "../harness/mod.rs"]
mod harness;

mod connecting;
mod forging;
mod frames;
mod logger;
mod quoting;
mod raw;
mod relay;
#[cfg(target_os = "linux")]
mod resources;
mod signals;
mod trie;
mod waiting;

use std::time::Duration;

use harness::process;

/// Runs the test `name` again in a child and asserts that it got to its end there.
#[track_caller]
fn assert_survives(name: &str) {
    let ended = process::run_again(name, &[], Duration::from_secs(90));
    assert!(ended.status.is_some_and(|status| status.success()), "{:?}\n{}", ended.status, ended.stderr);
    // The test's own last word: a name that no test has would pass as well.
    assert!(ended.stderr.contains(REACHED), "{name} was not run:\n{}", ended.stderr);
}

/// To be called by the child when it has seen all that it had to.
fn reached_the_end() {
    eprintln!("{REACHED}");
}

const REACHED: &str = "the child has reached its end";
