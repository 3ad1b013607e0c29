//! Has libzmq take its memory for secrets from `secret_memory.c`. Nothing is changed in libzmq's sources: the compiler is
//! told to read other names for two of libsodium's functions.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether to do so: 1, as without the variable, or 0.
pub const RECYCLE: &str = "ZMQ_SYS_RECYCLE_SECRETS";

/// The names for libzmq's compiler.
pub const DEFINES: &str = " -Dsodium_allocarray=zmq_auth_secret_allocarray -Dsodium_free=zmq_auth_secret_free";

/// Where libzmq has its memory for secrets from, and by what.
const ALLOCATOR: &str = "secure_allocator.hpp";
const CALLS: [&str; 2] = ["sodium_allocarray", "sodium_free"];

/// Whether secrets are recycled in this build: where the system has POSIX threads, unless the environment says no.
pub fn are_recycled() -> Result<bool, String> {
    match env::var(RECYCLE).as_deref() {
        Err(_) | Ok("" | "1") => Ok(env::var_os("CARGO_CFG_UNIX").is_some()),
        Ok("0") => Ok(false),
        Ok(other) => Err(format!("{RECYCLE} is 1 or 0, not {other:?}")),
    }
}

/// That the names take effect, so that a new libzmq can't switch recycling off unseen: its allocator calls both functions, and
/// nothing else asks libsodium for memory, which would come back to the wrong place.
pub fn check_use(sources: &Path) -> Result<(), String> {
    let advice = format!("Look at its sources and mend build/secrets.rs, or build with {RECYCLE}=0");
    let read = |path: &Path| fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    let allocator = read(&sources.join(ALLOCATOR))?;
    for call in CALLS {
        if !calls(&allocator, call) {
            return Err(format!("libzmq's {ALLOCATOR} no longer calls {call}: secrets are not recycled. {advice}"));
        }
    }
    for entry in fs::read_dir(sources).map_err(|e| format!("{}: {e}", sources.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if !path.extension().is_some_and(|kind| kind == "cpp" || kind == "hpp") || path.ends_with(ALLOCATOR) {
            continue;
        }
        let text = read(&path)?;
        if let Some(call) = ["sodium_malloc", CALLS[0], CALLS[1]].into_iter().find(|call| calls(&text, call)) {
            return Err(format!("libzmq's {} calls {call}, which only {ALLOCATOR} may. {advice}", path.display()));
        }
    }
    Ok(())
}

fn calls(source: &str, function: &str) -> bool {
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(|line| line.split(function).skip(1)).any(|rest| rest.trim_start().starts_with('('))
}

/// Compiles `secret_memory.c` and puts it into libzmq's own archive: who links that by hand needs no further one.
pub fn add_to(archive: &Path, out_dir: &Path) -> Result<(), String> {
    let mut build = cc::Build::new();
    build.cargo_metadata(false).file("secret_memory.c").out_dir(out_dir.join("secrets"));
    if let Some(include) = env::var_os("DEP_SODIUM_INCLUDE").map(PathBuf::from) {
        build.include(include);
    }
    let objects = build.try_compile_intermediates().map_err(|e| format!("secret_memory.c: {e}"))?;
    let mut archiver = build.try_get_archiver().map_err(|e| e.to_string())?;
    // Without dates: the same input, the same archive.
    let status = archiver.env("ZERO_AR_DATE", "1").arg("rs").arg(archive).args(objects).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{archiver:?}: {status}")),
        Err(e) => Err(format!("{archiver:?}: {e}")),
    }
}
