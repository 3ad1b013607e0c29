//! The Python with pyzmq that the tests use: the examples' virtual environment.
//!
//! Made on first use, once for all test programs that run at the same time. Without Python or without a way to install
//! pyzmq the test fails; it never passes unrun.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

#[path = "../../examples/support/pyzmq.rs"]
#[allow(dead_code)]
mod pyzmq;

/// The interpreter; panics with what to install if there can't be one.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| match pyzmq::python() {
        Ok(python) => checked(python),
        Err(error) => panic!("{error:#}"),
    })
}

/// Another pyzmq would be another peer.
fn checked(python: PathBuf) -> PathBuf {
    let mut command = Command::new(&python);
    command.args(["-c", "import zmq; print('pyzmq==' + zmq.__version__)"]);
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}\n{}", pyzmq::HINT));
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(
        output.status.success() && pyzmq::REQUIREMENTS.lines().any(|line| line == found),
        "{python:?} has {found:?}, not what tests/python/requirements.txt asks for.\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        pyzmq::HINT
    );
    python
}
