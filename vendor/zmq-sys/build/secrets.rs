//! Makes libzmq use the memory for secrets of `secret_memory.c`. libzmq's sources aren't changed: the compiler renames two of
//! libsodium's functions in them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether to do so: 1, the default, or 0.
pub const RECYCLE: &str = "ZMQ_SYS_RECYCLE_SECRETS";

/// The definitions that rename them for libzmq's compiler.
pub const DEFINES: &str = " -Dsodium_allocarray=zmq_auth_secret_allocarray -Dsodium_free=zmq_auth_secret_free";

/// The file in which libzmq allocates memory for secrets.
const ALLOCATOR: &str = "secure_allocator.hpp";
const CALLS: [&str; 2] = ["sodium_allocarray", "sodium_free"];

/// Whether this build recycles secrets: if the system has POSIX threads, unless the environment disables it.
pub fn are_recycled() -> Result<bool, String> {
    match env::var(RECYCLE).as_deref() {
        Err(_) | Ok("" | "1") => Ok(env::var_os("CARGO_CFG_UNIX").is_some()),
        Ok("0") => Ok(false),
        Ok(other) => Err(format!("{RECYCLE} is 1 or 0, not {other:?}")),
    }
}

/// Checks that the renaming takes effect, so that a new libzmq can't silently disable recycling: its allocator must call both
/// functions, and nothing else may allocate from libsodium, because that would be freed in the wrong place.
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

/// Compiles `secret_memory.c` and adds it to libzmq's archive, so that linking by hand needs no further library.
pub fn add_to(archive: &Path, out_dir: &Path) -> Result<(), String> {
    let mut build = cc::Build::new();
    build.cargo_metadata(false).file("secret_memory.c").out_dir(out_dir.join("secrets"));
    if let Some(include) = env::var_os("DEP_SODIUM_INCLUDE").map(PathBuf::from) {
        build.include(include);
    }
    let objects = build.try_compile_intermediates().map_err(|e| format!("secret_memory.c: {e}"))?;
    let mut archiver = build.try_get_archiver().map_err(|e| e.to_string())?;
    // Without timestamps, so that the same input gives the same archive.
    let status = archiver.env("ZERO_AR_DATE", "1").arg("rs").arg(archive).args(objects).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{archiver:?}: {status}")),
        Err(e) => Err(format!("{archiver:?}: {e}")),
    }
}
