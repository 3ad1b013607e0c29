//! Directories of many certificates.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use zmq_auth::{KeyDirectory, PublicKey};

use crate::python;
use crate::run::run;

/// Writes certificates whose keys are numbers into a directory.
fn write(directory: &Path, count: u32) {
    for number in 0..count {
        let mut key = [7; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        let content = format!(
            "#   ****  Generated on 2026-01-01 00:00:00 by pyzmq  ****\n#   ZeroMQ CURVE Public Certificate\n\nmetadata\n    \
             name = \"client {number}\"\ncurve\n    public-key = \"{}\"\n",
            PublicKey::from(key)
        );
        std::fs::write(directory.join(format!("client{number:06}.key")), content).unwrap();
    }
}

#[test]
fn two_thousand_files_are_all_checked() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), 2_000);
    for number in [0, 999, 1_999] {
        std::fs::write(directory.path().join(format!("client{number:06}.key")), "public-key = x\n").unwrap();
    }
    let outcome = run(directory.path(), &["--json", "lint", "."]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (1, ""), "no progress is shown where there is no terminal");
    let report = outcome.json();
    assert_eq!((&report["files"], &report["errors"]), (&2_000.into(), &3.into()), "{report}");
    let files: Vec<_> = report["problems"].as_array().unwrap().iter().map(|problem| problem["file"].clone()).collect();
    assert_eq!(files, ["./client000000.key", "./client000999.key", "./client001999.key"]);
}

/// Python provides the terminal.
#[test]
fn progress_is_shown_on_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), 2_000);
    let script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))";
    let mut command = Command::new(python::python());
    command.args(["-c", script]).arg(crate::run::program()).args(["lint", "."]).current_dir(directory.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains(" of 2,000 files"), "{shown}");
    assert!(shown.contains("2000 files: 0 errors, 0 warnings"), "{shown}");
}

/// The figure in the docs: `cargo test -p zmq-auth-program many -- --ignored --nocapture`, on a RAM disk if there is
/// one.
#[test]
#[ignore = "it measures"]
fn a_hundred_thousand_files_take_seconds() {
    let shm = Path::new("/dev/shm");
    let parent = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
    let directory = tempfile::tempdir_in(parent).unwrap();
    write(directory.path(), 100_000);
    for _ in 0..3 {
        let start = Instant::now();
        let outcome = run(directory.path(), &["lint", "."]);
        let lint = start.elapsed();
        assert!(outcome.ok().starts_with("100000 files: 0 errors"));
        let start = Instant::now();
        let keys = KeyDirectory::open(directory.path()).unwrap();
        println!("lint {:.2} s, KeyDirectory::open {:.2} s", lint.as_secs_f64(), start.elapsed().as_secs_f64());
        assert_eq!(keys.status().entries, 100_000);
    }
}
