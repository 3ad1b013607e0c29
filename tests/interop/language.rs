//! The two peer programs, by language: `tests/interop/peer` and `tests/python/peer.py`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::child::{Child, Told};
use crate::harness::python::python;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    Pyzmq,
}

impl Language {
    /// The peer, with its role still to be said.
    pub(crate) fn peer(self) -> Command {
        match self {
            Language::Rust => Command::new(rust_peer()),
            Language::Pyzmq => {
                let mut command = Command::new(python());
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/peer.py"));
                command
            }
        }
    }

    /// Its end; the log and the output of a Rust peer must be free of these secrets.
    pub(crate) fn finish(self, child: Child, secrets: &[String]) -> Vec<String> {
        let Told { lines, stderr } = child.finish();
        if self == Language::Rust {
            for secret in secrets {
                assert!(!lines.iter().any(|line| line.contains(secret)), "a secret in the output");
                assert!(!stderr.contains(secret), "a secret in the log");
            }
        }
        lines
    }
}

/// The Rust peer, an example to Cargo, built as this test was: nothing else is compiled again.
fn rust_peer() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--example", "peer", "--message-format=json", "--quiet", "--target-dir"]).arg(target);
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        if cfg!(feature = "tokio") {
            cargo.args(["--features", "tokio"]);
        }
        let output = cargo.output().unwrap_or_else(|error| panic!("{cargo:?}: {error}"));
        let messages = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{cargo:?}: {}", String::from_utf8_lossy(&output.stderr));
        messages
            .lines()
            .filter(|line| line.contains("\"reason\":\"compiler-artifact\"") && line.contains("\"kind\":[\"example\"]"))
            .find_map(|line| Some(PathBuf::from(line.split_once("\"executable\":\"")?.1.split('"').next()?)))
            .unwrap_or_else(|| panic!("{cargo:?} names no executable:\n{messages}"))
    })
}
