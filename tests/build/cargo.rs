//! Runs Cargo on the consumers.

use std::borrow::BorrowMut;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A target directory for consumers; it lasts, so that only the first run is slow.
pub(crate) fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("consumers").join(name)
}

pub(crate) fn shared_target() -> PathBuf {
    target("shared")
}

/// Cargo for one consumer, free of what the surrounding test run has set.
pub(crate) fn cargo(subcommand: &str, consumer: &str, target: &Path) -> Command {
    let directory = root().join("tests/consumers").join(consumer);
    seed_lock_file(&directory.join("Cargo.lock"));
    cargo_in(&directory, subcommand, target)
}

/// The same for a package that is not of this repository.
pub(crate) fn cargo_in(package: &Path, subcommand: &str, target: &Path) -> Command {
    let mut cargo = bare_cargo(subcommand, target);
    cargo.arg("--manifest-path").arg(package.join("Cargo.toml"));
    cargo
}

/// Cargo in this checkout.
pub(crate) fn bare_cargo(subcommand: &str, target: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg(subcommand).current_dir(root());
    cargo.env("CARGO_TARGET_DIR", target).env("CARGO_TERM_COLOR", "never");
    for name in [
        "CARGO_BUILD_TARGET",
        "ZMQ_SYS_USE_PKG_CONFIG",
        "ZMQ_SYS_RECYCLE_SECRETS",
        "SODIUM_USE_PKG_CONFIG",
        "SODIUM_LIB_DIR",
    ] {
        cargo.env_remove(name);
    }
    cargo
}

/// Gives a consumer the crate's own versions. Not committed: Cargo adds what only the consumer has.
fn seed_lock_file(lock: &Path) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _held = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let own = root().join("Cargo.lock");
    let changed = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    if changed(&own).is_some() && changed(lock) < changed(&own) {
        fs::copy(own, lock).expect("copy Cargo.lock");
    }
}

/// The output directory of the build script of the package whose id contains `package`, from Cargo's JSON messages.
pub(crate) fn out_dir(messages: &str, package: &str) -> PathBuf {
    messages
        .lines()
        .filter(|line| line.contains("\"reason\":\"build-script-executed\""))
        .filter(|line| {
            line.split("\"package_id\":\"")
                .nth(1)
                .and_then(|id| id.split('"').next())
                .is_some_and(|id| id.contains(package))
        })
        .find_map(|line| line.split("\"out_dir\":\"").nth(1)?.split('"').next().map(PathBuf::from))
        .unwrap_or_else(|| panic!("no build script of {package} in:\n{messages}"))
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

pub(crate) fn succeed(mut command: impl BorrowMut<Command>) -> Output {
    let command = command.borrow_mut();
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}\n{}{}", output.status, stdout(&output), stderr(&output));
    output
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn host() -> String {
    let version = succeed(Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV"));
    stdout(&version).lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc -vV names the host").to_owned()
}
