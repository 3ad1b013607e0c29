//! Reports at build time that CURVE will be missing. Only the feature `require-curve` makes that an error: NULL and PLAIN
//! work without CURVE, and only the libzmq that the program runs with is decisive (`curve_available`).

use std::env;

/// What to do if `zmq-sys` doesn't promise CURVE. `{target}` is the target triple, `{url}` the address of this crate.
const ADVICE: &str = "\
zmq-auth: the libzmq in this build is not known to have CURVE (zmq-sys from the registry builds it without). \
NULL and PLAIN work; where CURVE is missing at run time, its calls return Error::CurveUnavailable.
To have CURVE, paste one of these (README.md, \"Two ways to CURVE\"):
  - build libzmq with it: into the top-level Cargo.toml
        [patch.crates-io]
        zmq-sys = { git = \"{url}\" }
    (where Cargo says that the patch was not used: cargo update -p zmq-sys)
  - link one that has it, such as the system's: into .cargo/config.toml
        [target.{target}.zmq]
        rustc-link-search = [\"<the directory of libzmq>\"]
        rustc-link-lib = [\"dylib=zmq\"]
        curve = \"1\"    # your word that it has CURVE: silences this warning";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // For tests/secret_memory, which calls functions that only vendor/zmq-sys has.
    println!("cargo::rustc-check-cfg=cfg(secrets_are_recycled)");
    if env::var("DEP_ZMQ_SECRETS").is_ok_and(|secrets| secrets == "recycled") {
        println!("cargo::rustc-cfg=secrets_are_recycled");
    }
    // Published by vendor/zmq-sys, or set by the user in an override of `links = "zmq"`. Stock zmq-sys publishes nothing.
    if env::var("DEP_ZMQ_CURVE").is_ok_and(|curve| curve == "1") {
        return;
    }
    let target = env::var("TARGET").unwrap_or_else(|_| "<triple>".into());
    let url = env::var("CARGO_PKG_REPOSITORY").unwrap_or_default();
    let url = if url.is_empty() { "<the URL of zmq-auth>" } else { &url };
    let advice = ADVICE.replace("{target}", &target).replace("{url}", url);
    let required = env::var_os("CARGO_FEATURE_REQUIRE_CURVE").is_some();
    for line in advice.lines() {
        println!("cargo::{}={line}", if required { "error" } else { "warning" });
    }
}
