//! The Python with pyzmq that the tests use: the examples' virtual environment.
//!
//! It is created on first use, once for all test programs that run at the same time. If Python or a way to install pyzmq is
//! missing, the test fails; it is never skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

#[path = "../../examples/support/pyzmq.rs"]
#[allow(dead_code)]
mod pyzmq;

/// The interpreter's path; panics with what to install if there is none.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| match pyzmq::python() {
        Ok(python) => checked(python),
        Err(error) => panic!("{error:#}"),
    })
}

// Another version of pyzmq would behave differently.
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
