//! What the machine does to a program: disks that are full, files that go, processes that are killed, descriptors and
//! clocks that aren't what they were, code of the program's own that fails, and contexts that end in the middle.
#![cfg(target_os = "linux")]

#[path = "../harness/mod.rs"]
mod harness;

mod callbacks;
mod changes;
mod clock;
mod contexts;
mod descriptors;
mod fork;
mod killed;
mod saving;
mod vanishing;
mod vanishing_whole;

use std::time::Duration;

use harness::process::{is_child, run_again};

const REACHED: &str = "the child has reached its end";

/// Runs the test `name` in a process of its own.
#[track_caller]
fn alone(name: &str, test: impl FnOnce()) {
    alone_with(name, &[], test);
}

#[track_caller]
fn alone_with(name: &str, variables: &[(&str, &str)], test: impl FnOnce()) {
    if is_child() {
        test();
        eprintln!("{REACHED}");
        return;
    }
    let ended = run_again(name, variables, Duration::from_secs(120));
    assert!(ended.status.is_some_and(|status| status.success()), "{:?}\n{}", ended.status, ended.stderr);
    // A name that no test has would pass as well.
    assert!(ended.stderr.contains(REACHED), "{name} was not run:\n{}", ended.stderr);
    for line in ended.stderr.lines().filter(|line| line.starts_with("# ")) {
        println!("{line}");
    }
}
