//! The libzmq of a build: overridden by `links`, faked, or the system's.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::cargo::{cargo, host, shared_target, stderr, stdout, succeed, target};

/// Set to 1 where the system's libzmq is there and is to be linked as well.
const SYSTEM: &str = "ZMQ_AUTH_TEST_SYSTEM_LIBZMQ";

/// The override consumer, run where a `.cargo/config.toml` overrides `links = "zmq"`.
pub(crate) fn overridden(name: &str, search: &[PathBuf], libraries: &[&str], curve: bool) -> Command {
    let directory = target("override").join(name);
    fs::create_dir_all(directory.join(".cargo")).expect("create .cargo");
    let word = if curve { "curve = \"1\"\n" } else { "" };
    let host = host();
    let config = format!("[target.{host}.zmq]\nrustc-link-search = {search:?}\nrustc-link-lib = {libraries:?}\n{word}");
    fs::write(directory.join(".cargo/config.toml"), config).expect("write .cargo/config.toml");
    let mut cargo = cargo("run", "override", &shared_target());
    cargo.current_dir(directory);
    cargo
}

/// A check of the patched consumer that finds by pkg-config a libzmq of this version, which says this about CURVE.
pub(crate) fn against_fake(version: &str, curve: bool) -> Command {
    let directory = target("fake").join(version);
    fs::create_dir_all(&directory).expect("create the directory");
    let write = |name: &str, text: String| fs::write(directory.join(name), text).expect("write");
    let place = directory.display();
    let flags = format!("Libs: -L{place} -lzmq\nCflags: -I{place}\n");
    write("libzmq.pc", format!("Name: libzmq\nDescription: a fake\nVersion: {version}\n{flags}"));
    write("libsodium.pc", "Name: libsodium\nDescription: a fake\nVersion: 1.0.20\n".into());
    write("zmq.h", "int zmq_has (const char *capability);\n".into());
    let has = u8::from(curve);
    write(
        "zmq.c",
        format!("#include <string.h>\nint zmq_has (const char *c) {{ return {has} && !strcmp (c, \"curve\"); }}\n"),
    );
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    succeed(compiler.args(["-shared", "-fPIC", "-o", "libzmq.so", "zmq.c"]).current_dir(&directory));

    let mut cargo = cargo("check", "patched", &target("fake"));
    cargo.env("ZMQ_SYS_USE_PKG_CONFIG", "1").env("SODIUM_USE_PKG_CONFIG", "1");
    cargo.env("PKG_CONFIG_PATH", &directory).env("PKG_CONFIG_LIBDIR", &directory);
    cargo
}

/// Whether zmq-auth's build script doubts that CURVE is there.
pub(crate) fn warns(output: &Output) -> bool {
    stderr(output).contains("is not known to have CURVE")
}

pub(crate) fn with_system_libzmq() -> bool {
    env::var(SYSTEM).is_ok_and(|value| value == "1")
}

pub(crate) fn pkg_config(question: &str) -> String {
    stdout(&succeed(Command::new("pkg-config").args([question, "libzmq"]))).trim().to_owned()
}
