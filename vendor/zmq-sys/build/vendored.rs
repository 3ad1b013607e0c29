//! libzmq from `zeromq-src`, with libsodium for CURVE.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::secrets;

const COMPILER_PROCESS: &str = "ZMQ_SYS_COMPILER_PROCESS";

/// Whether this is the process that [`link`] starts.
pub fn is_compiler_process() -> bool {
    env::var_os(COMPILER_PROCESS).is_some()
}

/// Compiles libzmq in a separate process and passes its instructions on to Cargo, without the hundreds of C++ warnings, which
/// Cargo would show for a path dependency. They are shown if the build fails.
pub fn link() -> Result<(), String> {
    let recycled = secrets::are_recycled()?;
    let this = env::current_exe().map_err(|e| format!("cannot find the build script's own path: {e}"))?;
    let (name, flags) = flags(recycled);
    let output = Command::new(this)
        .env(COMPILER_PROCESS, "1")
        .env(name, flags)
        .output()
        .map_err(|e| format!("cannot start the build of libzmq: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        eprintln!("{said}\n{}", String::from_utf8_lossy(&output.stderr));
        return Err(format!(
            "libzmq did not build ({}). A C++ compiler for the target is needed, and libsodium with its headers; \
             the output below says what is missing",
            output.status
        ));
    }
    if recycled {
        secrets::check_use(&out_dir().join("source/src"))?;
        secrets::add_to(&out_dir().join("lib/libzmq.a"), &out_dir())?;
        println!("cargo::metadata=secrets=recycled");
    }
    for line in said.lines().filter(|line| is_for_cargo(line)) {
        println!("{line}");
    }
    println!("cargo::metadata=curve=1");
    println!("cargo::metadata=version={}", version()?);
    Ok(())
}

/// Runs in that process: asks `zeromq-src` for libzmq with CURVE.
pub fn compile() {
    // Set by libsodium-sys-stable, unless it found a libsodium where the compiler looks anyway. In that case our own
    // directory, which has no libsodium, is used instead.
    let directory = |name| env::var_os(name).map_or_else(out_dir, PathBuf::from);
    let sodium = zeromq_src::LibLocation::new(directory("DEP_SODIUM_LIB"), directory("DEP_SODIUM_INCLUDE"));
    zeromq_src::Build::new().with_libsodium(Some(sodium)).build();
}

/// The user's C++ flags and ours: the variable's name and its value.
fn flags(recycled: bool) -> (String, String) {
    let target = env::var("TARGET").expect("Cargo sets TARGET");
    // In the order in which the `cc` crate looks them up.
    let kind = if env::var("HOST").as_ref() == Ok(&target) { "HOST" } else { "TARGET" };
    let exact = format!("CXXFLAGS_{target}");
    let names = [
        exact.clone(),
        format!("CXXFLAGS_{}", target.replace('-', "_")),
        format!("{kind}_CXXFLAGS"),
        "CXXFLAGS".into(),
    ];
    let mut flags = names.iter().find_map(|name| env::var(name).ok()).unwrap_or_default();
    for ability in abilities() {
        flags.push_str(&format!(" -DZMQ_HAVE_{ability}=1"));
    }
    if recycled {
        flags.push_str(secrets::DEFINES);
    }
    (exact, flags.trim_start().to_owned())
}

/// Features of the system that `zeromq-src` doesn't define (libzmq's own configure detects them): with `SO_PEERCRED` a ZAP
/// handler is told who is at the other end of an ipc connection; without `SO_KEEPALIVE` and the like, those socket options
/// do nothing.
fn abilities() -> &'static [&'static str] {
    match env::var("CARGO_CFG_TARGET_OS").as_deref() {
        Ok("linux") => &[
            "SO_PEERCRED",
            "EVENTFD",
            "EVENTFD_CLOEXEC",
            "SOCK_CLOEXEC",
            "SO_KEEPALIVE",
            "TCP_KEEPCNT",
            "TCP_KEEPIDLE",
            "TCP_KEEPINTVL",
            "TCP_USER_TIMEOUT",
            "SO_BINDTODEVICE",
            "SO_PRIORITY",
            "IFADDRS",
        ],
        Ok("android") => &["SO_PEERCRED", "SO_KEEPALIVE"],
        Ok("freebsd" | "macos") => &["LOCAL_PEERCRED", "SO_KEEPALIVE"],
        _ => &[],
    }
}

/// Whether a line is an instruction or metadata for Cargo: not a warning, and not linking libsodium, which its own crate does.
fn is_for_cargo(line: &str) -> bool {
    let sodium = ["cargo:rustc-link-lib=static=sodium", "cargo:rustc-link-lib=static=libsodium"];
    line.starts_with("cargo:") && !line.starts_with("cargo:warning=") && !sodium.contains(&line)
}

/// libzmq's version, from the header that `zeromq-src` copied.
fn version() -> Result<String, String> {
    let header = out_dir().join("source/include/zmq.h");
    let text = fs::read_to_string(&header).map_err(|e| format!("{}: {e}", header.display()))?;
    let number = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    match ["MAJOR", "MINOR", "PATCH"].map(|part| number(&format!("#define ZMQ_VERSION_{part} "))) {
        [Some(major), Some(minor), Some(patch)] => Ok(format!("{major}.{minor}.{patch}")),
        _ => Err(format!("{}: names no version", header.display())),
    }
}

fn out_dir() -> PathBuf {
    env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR").into()
}
