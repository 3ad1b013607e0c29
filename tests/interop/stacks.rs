//! The matrix of stacks (`zmq-auth matrix`), with the peers that need no root: each cell must be as expected.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::python::python;

/// The peers that run on every machine that can run these tests. CI requires more of them.
const PEERS: &str = "rust,pyzmq,pyzmq-asyncio,c";

#[test]
fn every_cell_is_as_expected() {
    let mut matrix = Command::new(program());
    matrix.args(["matrix", "--install", "--only", PEERS, "--require", PEERS]);
    matrix.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target());
    let output = matrix.output().unwrap_or_else(|error| panic!("{matrix:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let summary = text.lines().last().unwrap_or_default();
    assert!(summary.starts_with("4 peers of 1 stacks") && summary.contains("all as expected"), "{text}");
}

/// `src/harness.md` contains a complete peer.
#[test]
fn the_peer_of_the_page_runs_as_shown() {
    let page = include_str!("../../src/harness.md");
    let peer = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let lines = peer.lines().filter(|line| !line.is_empty()).count();
    assert!(lines < 60, "{lines} lines");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("my_peer.py");
    std::fs::write(&file, peer).unwrap();
    let mut matrix = Command::new(program());
    let mine = format!("mine={} {}", python().display(), file.display());
    matrix.args(["matrix", "--install", "--only", "rust,mine", "--require", "rust,mine", "--peer", &mine]);
    matrix.current_dir(env!("CARGO_MANIFEST_DIR")).env("CARGO_TARGET_DIR", target());
    let output = matrix.output().unwrap_or_else(|error| panic!("{matrix:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("all as expected"), "{text}");
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory").to_owned()
}

/// The program, which Cargo has built for this test if the feature is on.
fn program() -> PathBuf {
    if cfg!(feature = "cli") {
        return env!("CARGO_BIN_EXE_zmq-auth").into();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--bin", "zmq-auth", "--features", "cli", "--quiet", "--target-dir"]).arg(target());
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    assert!(cargo.status().is_ok_and(|status| status.success()), "{cargo:?}");
    target().join("debug/zmq-auth")
}
