//! The system's libzmq, found by pkg-config.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use pkg_config::Library;

/// The first release without CVE-2019-13132 (fixed in 4.3.2) and CVE-2020-15166, with which a peer without credentials can
/// overwrite the stack or lock others out.
const OLDEST: [u32; 3] = [4, 3, 3];

/// Links the system's libzmq, or says what is wrong with it.
pub fn link() -> Result<(), String> {
    let libzmq = pkg_config::Config::new().cargo_metadata(false).probe("libzmq").map_err(|e| {
        eprintln!("{e}");
        "ZMQ_SYS_USE_PKG_CONFIG=1, but pkg-config finds no libzmq (Debian: libzmq3-dev)".to_owned()
    })?;
    check_version(&libzmq.version)?;
    if check_curve(&libzmq)? {
        println!("cargo::metadata=curve=1");
    }
    println!("cargo::metadata=version={}", libzmq.version);
    // Probe again to link it, now that it is known to be good.
    pkg_config::probe_library("libzmq").map(drop).map_err(|e| e.to_string())
}

fn check_version(version: &str) -> Result<(), String> {
    let numbers: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
    if numbers.as_slice() >= OLDEST.as_slice() {
        return Ok(());
    }
    Err(format!(
        "the system's libzmq is {version}, older than 4.3.3: CVE-2019-13132 (before 4.3.2) and CVE-2020-15166 (before 4.3.3) \
         let a peer without credentials attack the server. Install a newer one, or unset ZMQ_SYS_USE_PKG_CONFIG to build 4.3.5"
    ))
}

/// Whether the library has CURVE: compiles and runs a program that asks it. False if that isn't possible, because a program for
/// another machine doesn't run here.
fn check_curve(libzmq: &Library) -> Result<bool, String> {
    let compiler = cc::Build::new().get_compiler();
    if env::var_os("HOST") != env::var_os("TARGET") || compiler.is_like_msvc() {
        return Ok(false);
    }
    let directory = PathBuf::from(env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR"));
    let (source, program) = (directory.join("has_curve.c"), directory.join("has_curve"));
    let text = "#include <zmq.h>\nint main(void) { return zmq_has(\"curve\") ? 0 : 7; }\n";
    fs::write(&source, text).map_err(|e| format!("{}: {e}", source.display()))?;

    let mut command = compiler.to_command();
    command.arg(&source).arg("-o").arg(&program);
    command.args(libzmq.include_paths.iter().map(|path| format!("-I{}", path.display())));
    for path in &libzmq.link_paths {
        command.arg(format!("-L{}", path.display())).arg(format!("-Wl,-rpath,{}", path.display()));
    }
    command.args(libzmq.libs.iter().map(|name| format!("-l{name}")));
    let compiled = command.output().map_err(|e| format!("cannot start the C compiler: {e}"))?;
    if !compiled.status.success() {
        eprintln!("{}", String::from_utf8_lossy(&compiled.stderr));
        return Err(format!(
            "a C program does not compile against the system's libzmq {}: the compiler's output is below",
            libzmq.version
        ));
    }
    let answer = Command::new(&program).status().map_err(|e| format!("{}: {e}", program.display()))?;
    match answer.code() {
        Some(0) => Ok(true),
        Some(7) => Err(format!(
            "the system's libzmq {} was built without CURVE. Install one that has it, or unset ZMQ_SYS_USE_PKG_CONFIG to build 4.3.5",
            libzmq.version
        )),
        _ => Err(format!("the system's libzmq {} could not be asked for CURVE: {answer}", libzmq.version)),
    }
}
