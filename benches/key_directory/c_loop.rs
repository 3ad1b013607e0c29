//! The loop in C, compiled: the least time that loading can take.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Compiles the program with `cc`, or with the compiler that `CC` names.
pub(crate) fn compile() -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("key_directory/bare_reads.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare_reads");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(&compiler);
    command.args(["-O2", "-Wall", "-o"]).args([&program, &source]);
    let status = command.status().context("this needs a C compiler (Debian, Ubuntu: apt-get install gcc)")?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(program)
}
