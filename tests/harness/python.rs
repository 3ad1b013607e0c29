//! A Python with the pyzmq that the tests are held against, in a virtual environment below the target directory.
//!
//! Made on first use, once for all test programs that run at the same time. Without Python or without a way to install
//! pyzmq the test fails; it never passes unrun.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

const HINT: &str = "These tests need Python 3.9 or later with venv and pip (Debian, Ubuntu: apt-get install python3-venv), and, \
     the first time, a package index that has pyzmq. Without either, set ZMQ_AUTH_PYTHON to an interpreter that has what \
     tests/python/requirements.txt asks for.";

/// The interpreter; panics with what to install if there can't be one.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| match std::env::var_os("ZMQ_AUTH_PYTHON") {
        Some(chosen) => checked(PathBuf::from(chosen)),
        None => checked(environment()),
    })
}

/// Makes the virtual environment unless it is there, complete, and made from the same requirements.
fn environment() -> PathBuf {
    // Cargo's directory for test files is one level below the target directory.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target directory");
    let venv = target.join("pyzmq-venv");
    let python = venv.join("bin/python");
    let done = venv.join("requirements.done");

    let lock = File::create(target.join("pyzmq-venv.lock")).expect("a lock file in the target directory");
    lock.lock().expect("the lock on the virtual environment");
    if fs::read_to_string(&done).is_ok_and(|made_from| made_from == REQUIREMENTS) {
        return python;
    }
    if venv.exists() {
        fs::remove_dir_all(&venv).expect("the old virtual environment goes");
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let requirements = target.join("pyzmq-requirements.txt");
    fs::write(&requirements, REQUIREMENTS).expect("the requirements in the target directory");
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(requirements));
    fs::write(done, REQUIREMENTS).expect("the mark of a complete environment");
    python
}

/// Another pyzmq would be another peer.
fn checked(python: PathBuf) -> PathBuf {
    let output = run(Command::new(&python).args(["-c", "import zmq; print('pyzmq==' + zmq.__version__)"]));
    assert!(
        REQUIREMENTS.lines().any(|line| line == output.trim()),
        "{python:?} has {}, not what tests/python/requirements.txt asks for.\n{HINT}",
        output.trim()
    );
    python
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}\n{HINT}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}\n{HINT}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
