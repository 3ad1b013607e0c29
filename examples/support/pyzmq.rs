//! The pinned pyzmq, in a virtual environment below the target directory that is created on first use.
//! `ZMQ_AUTH_PYTHON` names another interpreter instead.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

pub(crate) const REQUIREMENTS: &str = include_str!("../../tests/python/requirements.txt");

pub(crate) const HINT: &str = "this needs Python 3.9 or later with venv and pip (Debian, Ubuntu: apt-get install python3-venv) and, the \
     first time, a package index that has pyzmq. Without either, set ZMQ_AUTH_PYTHON to an interpreter that has what \
     tests/python/requirements.txt asks for";

/// The interpreter's path. The error says what to install.
pub(crate) fn python() -> Result<PathBuf> {
    match env::var_os("ZMQ_AUTH_PYTHON") {
        Some(chosen) => Ok(chosen.into()),
        None => environment().context(HINT),
    }
}

/// Creates the virtual environment, unless it is complete and made from the same requirements.
fn environment() -> Result<PathBuf> {
    // TARGET/debug/examples/NAME, or TARGET/debug/deps/NAME for a test.
    let target = env::current_exe()?.ancestors().nth(3).context("not below a target directory")?.to_owned();
    let venv = target.join("pyzmq-venv");
    let python = venv.join("bin/python");
    let done = venv.join("requirements.done");

    // Only one of several concurrent programs creates it.
    let lock = File::create(target.join("pyzmq-venv.lock"))?;
    lock.lock()?;
    if fs::read_to_string(&done).is_ok_and(|made_from| made_from == REQUIREMENTS) {
        return Ok(python);
    }
    eprintln!("Installing pyzmq into {} (the first time only) …", venv.display());
    if venv.exists() {
        fs::remove_dir_all(&venv)?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let requirements = target.join("pyzmq-requirements.txt");
    fs::write(&requirements, REQUIREMENTS)?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(requirements))?;
    fs::write(done, REQUIREMENTS)?;
    Ok(python)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&said));
    }
    Ok(())
}

/// The path of a script in `examples/`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}
