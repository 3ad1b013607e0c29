//! Tests in a child process that a shell sets up: its umask, limits or time zone.

use std::path::{Path, PathBuf};
use std::process::Command;

const DIR: &str = "ZMQ_AUTH_TEST_DIR";

/// The directory to work in, if this is the child.
pub(crate) fn child_dir() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

/// Runs the test `name` again in a child that a shell first sets up; fails if the child does.
pub(crate) fn run(name: &str, shell: &str, dir: &Path) {
    let script = format!("{shell}\nexec \"$0\" --exact \"$1\" --nocapture");
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(DIR, dir)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shell}: {told}");
    assert!(told.contains("1 passed"), "{name} is no test: {told}");
}
