//! Links a libzmq that has CURVE: built from `zeromq-src` and `libsodium-sys-stable`, or the system's with
//! `ZMQ_SYS_USE_PKG_CONFIG=1`.
//!
//! Dependents' build scripts get `DEP_ZMQ_CURVE=1` (left out if unknown) and `DEP_ZMQ_VERSION`. If libzmq was built here, they
//! also get `DEP_ZMQ_INCLUDE` and `DEP_ZMQ_LIB`, the directories of its header and its archive, and
//! `DEP_ZMQ_SECRETS=recycled` if it uses `secret_memory.c`.

use std::env;
use std::process::ExitCode;

#[path = "build/secrets.rs"]
mod secrets;
#[path = "build/system.rs"]
mod system;
#[path = "build/vendored.rs"]
mod vendored;

const USE_PKG_CONFIG: &str = "ZMQ_SYS_USE_PKG_CONFIG";

fn main() -> ExitCode {
    if vendored::is_compiler_process() {
        vendored::compile();
        return ExitCode::SUCCESS;
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=secret_memory.c");
    println!("cargo::rerun-if-changed=secret_memory.h");
    println!("cargo::rerun-if-env-changed={USE_PKG_CONFIG}");
    println!("cargo::rerun-if-env-changed={}", secrets::RECYCLE);
    let linked = match env::var(USE_PKG_CONFIG).as_deref() {
        Err(_) | Ok("" | "0") => vendored::link(),
        Ok("1") => system::link(),
        Ok(other) => Err(format!("{USE_PKG_CONFIG} is 1 or 0, not {other:?}")),
    };
    if let Err(message) = linked {
        println!("cargo::error={message}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
