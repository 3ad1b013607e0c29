//! Builds and runs the program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The output and exit code of a run.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The run's standard output, if it ended with 0.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The document that `--json` wrote.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

/// Runs `zmq-auth` in a directory, with empty standard input.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Outcome {
    run_with_input(directory, arguments, b"")
}

/// Runs `zmq-auth` in a directory with this standard input, which isn't a terminal.
pub(crate) fn run_with_input(directory: &Path, arguments: &[&str], input: &[u8]) -> Outcome {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(directory);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was built");
    // Fails if the program doesn't read it, which is fine.
    let _ = child.stdin.take().expect("it is piped").write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Outcome {
        code: output.status.code().expect("it ended by itself"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// The program, built with the same profile as this test.
pub(crate) fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--bin", "zmq-auth", "--features", "cli", "--quiet", "--target-dir"]).arg(target);
        cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
        // Cargo sets these for the test's package. If they changed, `ring` would be rebuilt each time.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_LINKS", "CARGO_PKG_NAME"] {
            cargo.env_remove(name);
        }
        for part in ["MAJOR", "MINOR", "PATCH", "PRE"] {
            cargo.env_remove(format!("CARGO_PKG_VERSION_{part}"));
        }
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().is_ok_and(|status| status.success()), "{cargo:?}");
        target.join(if cfg!(debug_assertions) { "debug" } else { "release" }).join("zmq-auth")
    })
}
