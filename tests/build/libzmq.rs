//! The libzmq of a build: overridden by `links`, faked, or the system's.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::cargo::{cargo, cargo_in, host, root, shared_target, stderr, stdout, succeed, target};

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
    write("libsodium.pc", LIBSODIUM_PC.into());
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

const LIBSODIUM_PC: &str = "Name: libsodium\nDescription: a fake\nVersion: 1.0.20\n";

/// A program with zmq and zmq-auth, `lines` under `[patch.crates-io]`, and a lock file; answers its directory. Its name is
/// that of the stock consumer, whose lock file fits.
pub(crate) fn program(name: &str, lines: &str, lock: &str) -> PathBuf {
    let directory = target("programs").join(name);
    fs::create_dir_all(directory.join("src")).expect("create the directory");
    let zmq_auth = root().display();
    let manifest = format!(
        "[package]\nname = \"consumer-stock\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nzmq = \"0.10\"\nzmq-auth = {{ path = \"{zmq_auth}\" }}\n\n\
         [patch.crates-io]\nzmq-sys = {{ path = \"{zmq_auth}/vendor/zmq-sys\" }}\n{lines}\n[workspace]\n"
    );
    for (file, text) in [("Cargo.toml", manifest.as_str()), ("src/main.rs", "fn main() {}\n"), ("Cargo.lock", lock)] {
        fs::write(directory.join(file), text).expect("write");
    }
    directory
}

/// A check of a program whose `zeromq-src` has these sources for libzmq and compiles none of them.
pub(crate) fn with_sources(sources: &[(&str, &str)]) -> Command {
    let directory = target("zeromq-src");
    fs::create_dir_all(directory.join("include")).expect("create the directory");
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).expect("write");
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("read Cargo.lock");
    let after = lock.split("name = \"zeromq-src\"\nversion = \"").nth(1).expect("zeromq-src is in the lock file");
    let version = after.split('"').next().expect("a version");
    let package = format!("[package]\nname = \"zeromq-src\"\nversion = \"{version}\"\nedition = \"2024\"\n");
    write("Cargo.toml", &format!("{package}[lib]\npath = \"lib.rs\"\n[workspace]\n"));
    let header = "#define ZMQ_VERSION_MAJOR 9\n#define ZMQ_VERSION_MINOR 9\n#define ZMQ_VERSION_PATCH 9\n";
    write("lib.rs", &include_str!("zeromq_src.rs").replace("[/* files */]", &format!("{sources:?}, {header:?}")));
    // What secret_memory.c is compiled with.
    let functions = "void *sodium_malloc (size_t); void sodium_free (void *); int sodium_mlock (void *, size_t); int sodium_init (void);\n\
         void sodium_memzero (void *, size_t); int sodium_memcmp (const void *, const void *, size_t);\n\
         int sodium_is_zero (const unsigned char *, size_t); void randombytes_buf (void *, size_t);\n";
    write("include/sodium.h", functions);
    write("libsodium.pc", &format!("{LIBSODIUM_PC}Cflags: -I{}\n", directory.join("include").display()));

    let line = format!("zeromq-src = {{ path = {directory:?} }}\n");
    let mut cargo = cargo_in(&program("with-sources", &line, &lock), "check", &target("fake"));
    cargo.env("SODIUM_USE_PKG_CONFIG", "1").env("PKG_CONFIG_PATH", &directory).env("PKG_CONFIG_LIBDIR", &directory);
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
