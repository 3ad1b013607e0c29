//! The build as dependent programs see it: three of them (`tests/consumers`), the replacement for `zmq-sys`, and the messages if
//! CURVE is missing.
//!
//! With `ZMQ_AUTH_TEST_SYSTEM_LIBZMQ=1` the system's libzmq (Debian: libzmq3-dev) is linked too, in both ways.

#[path = "build/cargo.rs"]
mod cargo;
#[path = "build/libzmq.rs"]
mod libzmq;
#[path = "build/names.rs"]
mod names;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use cargo::{bare_cargo, cargo, cargo_in, host, out_dir, root, run, shared_target, stderr, stdout, succeed, target};
use libzmq::{against_fake, overridden, pkg_config, program, warns, with_sources, with_system_libzmq};
use names::exported;

const NULL_AND_PLAIN: &str = "\
NULL: the allowed address was served, the denied one refused
PLAIN: the right password was served, the wrong one refused
";
const CURVE: &str = "CURVE: the known key was served, the unknown one refused\n";

// -- the three consumers ------------------------------------------------------------------------------------------------

#[test]
fn published_crates_have_null_and_plain_and_say_what_curve_needs() {
    let run = succeed(cargo("run", "stock", &shared_target()));
    let curve = "CURVE: unavailable, and every call says so\n";
    assert_eq!(stdout(&run), format!("libzmq 4.3.4\n{NULL_AND_PLAIN}{curve}"));
    // Both solutions, ready to be pasted.
    let target = host();
    for advice in ["[patch.crates-io]", "zmq-sys = { git =", &format!("[target.{target}.zmq]"), "rustc-link-lib = ["] {
        assert!(stderr(&run).contains(advice), "the build doesn't mention {advice}:\n{}", stderr(&run));
    }
}

#[test]
fn with_require_curve_a_build_without_curve_fails() {
    let checked = run(cargo("check", "stock", &shared_target()).args(["--features", "require-curve"]));
    assert!(!checked.status.success(), "built without CURVE");
    assert!(stderr(&checked).contains("[patch.crates-io]"), "{}", stderr(&checked));
}

/// With the dependencies in the README, and nothing else.
#[test]
fn the_program_of_the_readme_runs_as_shown() {
    let readme = fs::read_to_string(root().join("README.md")).expect("read README.md");
    let block = |language: &str, number: usize| {
        let after = readme.split(&format!("```{language}\n")).nth(number).expect("a block of code");
        after.split("```").next().expect("its end").to_owned()
    };
    let path = |name: &str| format!("path = {:?}", root().join(name));
    let url = "git = \"<the URL of this repository>\"";
    let dependencies = block("toml", 1).replace(url, &path(""));
    let patch = block("toml", 2).replace(url, &path("vendor/zmq-sys"));
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("read Cargo.lock");
    let directory = program("readme", "", &lock);
    let manifest = format!(
        "[package]\nname = \"readme\"\nversion = \"0.0.0\"\nedition = \"2024\"\n{dependencies}{patch}[workspace]\n"
    );
    fs::write(directory.join("Cargo.toml"), manifest).expect("write Cargo.toml");
    fs::write(directory.join("src/main.rs"), block("rust", 1)).expect("write main.rs");
    let run = succeed(cargo_in(&directory, "run", &shared_target()));
    assert_eq!(stdout(&run), "hello from alice\n");
}

/// As in the README, but from this checkout, and without optimization, which takes long for the crates of `nats`.
#[test]
fn the_program_is_installed_by_the_line_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).expect("read README.md");
    let line = readme.lines().find(|line| line.starts_with("cargo install ")).expect("the line");
    let line = line.replace("--git <the URL of this repository>", "--path .");
    let words: Vec<&str> = line.split(' ').skip(2).collect();
    let installed = tempfile::tempdir().expect("a directory");
    let mut install = bare_cargo("install", &target("install"));
    succeed(install.args(words).arg("--debug").arg("--root").arg(installed.path()));
    let mut keygen = Command::new(installed.path().join("bin/zmq-auth"));
    let made = succeed(keygen.args(["keygen", "alice"]).current_dir(installed.path()));
    assert_eq!(stdout(&made).trim_end().len(), 40, "a key: it has CURVE");
}

#[test]
fn the_patch_line_gives_curve() {
    let run = succeed(cargo("run", "patched", &shared_target()));
    assert_eq!(stdout(&run), format!("libzmq 4.3.5\n{NULL_AND_PLAIN}{CURVE}"));
    assert!(!warns(&run), "the build warns though CURVE is there:\n{}", stderr(&run));
    if with_system_libzmq() {
        let mut system = cargo("run", "patched", &target("system"));
        let run = succeed(system.env("ZMQ_SYS_USE_PKG_CONFIG", "1"));
        assert_eq!(stdout(&run), format!("libzmq {}\n{NULL_AND_PLAIN}{CURVE}", pkg_config("--modversion")));
        assert!(!warns(&run), "the build warns though CURVE is there:\n{}", stderr(&run));
    }
}

#[test]
fn the_links_override_gives_curve() {
    // Against the libzmq that the patched consumer has just built.
    let built = succeed(cargo("build", "patched", &shared_target()).arg("--message-format=json"));
    let messages = stdout(&built);
    let archives = ["/zmq-sys", "libsodium-sys-stable"].map(|package| out_dir(&messages, package));
    let search = [archives[0].join("lib"), archives[1].join("installed/lib")];
    let libraries = ["static=zmq", "static=sodium", "dylib=stdc++"];
    let run = succeed(&mut overridden("vendored", &search, &libraries, true));
    assert_eq!(stdout(&run), format!("libzmq 4.3.5\n{NULL_AND_PLAIN}{CURVE}"));
    assert!(!warns(&run), "curve = \"1\" doesn't silence the warning:\n{}", stderr(&run));

    // Without the user's declaration there is a warning, but libzmq's own answer counts.
    let run = succeed(&mut overridden("vendored", &search, &libraries, false));
    assert_eq!(stdout(&run), format!("libzmq 4.3.5\n{NULL_AND_PLAIN}{CURVE}"));
    assert!(warns(&run), "the build doesn't warn:\n{}", stderr(&run));

    if with_system_libzmq() {
        let search = [PathBuf::from(pkg_config("--variable=libdir"))];
        let run = succeed(&mut overridden("system", &search, &["dylib=zmq"], true));
        assert_eq!(stdout(&run), format!("libzmq {}\n{NULL_AND_PLAIN}{CURVE}", pkg_config("--modversion")));
    }
}

// -- vendor/zmq-sys -----------------------------------------------------------------------------------------------------

#[test]
fn the_stand_in_exports_the_names_of_the_stock_crate() {
    let metadata = succeed(cargo("metadata", "stock", &shared_target()).args(["--format-version", "1"]));
    let manifest = stdout(&metadata)
        .split("\"manifest_path\":\"")
        .filter_map(|rest| rest.split('"').next().map(PathBuf::from))
        .find(|path| path.to_string_lossy().contains("/zmq-sys-0.12."))
        .expect("the stock consumer depends on zmq-sys 0.12");
    let stock = exported(&manifest.with_file_name("src"), "lib.rs", "");
    let ours = exported(&root().join("vendor/zmq-sys/src"), "lib.rs", "");
    assert!(stock.len() > 200 && stock.contains("errno::ETERM"), "the stock crate was not understood: {stock:?}");
    let difference = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(difference(&stock, &ours), [""; 0], "missing in vendor/zmq-sys");
    assert_eq!(difference(&ours, &stock), [""; 0], "in vendor/zmq-sys, but not in the stock crate");
}

/// A program that was first built with the published crates, and is patched later.
#[test]
fn the_patch_line_takes_effect_at_once_beside_an_old_lock_file() {
    succeed(cargo("metadata", "stock", &shared_target()).args(["--format-version", "1"]));
    let old =
        fs::read_to_string(root().join("tests/consumers/stock/Cargo.lock")).expect("the stock consumer's lock file");
    let entry = "name = \"zmq-sys\"\nversion = \"0.12.0\"\nsource = \"registry+";
    assert!(old.contains(entry), "not a lock file of the published zmq-sys:\n{old}");
    let program = program("old-lock-file", "", &old);
    let metadata = succeed(cargo_in(&program, "metadata", &shared_target()).args(["--format-version", "1"]));
    assert!(!stderr(&metadata).contains("was not used"), "{}", stderr(&metadata));
    let ours = root().join("vendor/zmq-sys/Cargo.toml");
    assert!(stdout(&metadata).contains(&format!("\"manifest_path\":{ours:?}")), "the published zmq-sys is still there");
}

/// Cargo repeats the warnings of packages with a path, the patched `zmq-sys` and this crate, when they were built before.
#[test]
fn the_patched_build_prints_no_warning() {
    let built = succeed(cargo("build", "patched", &shared_target()));
    assert!(!stderr(&built).contains("warning"), "{}", stderr(&built));
}

#[test]
fn a_system_libzmq_must_be_new_enough_and_have_curve() {
    let refusal = |version, curve| {
        let output = run(&mut against_fake(version, curve));
        assert!(!output.status.success(), "libzmq {version} was taken, CURVE: {curve}");
        let text = stderr(&output);
        text.lines().find(|line| line.starts_with("error: zmq-sys@")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let too_old = refusal("4.3.2", true);
    for word in ["4.3.2", "CVE-2019-13132", "CVE-2020-15166", "4.3.3"] {
        assert!(too_old.contains(word), "{word} isn't in: {too_old}");
    }
    let no_curve = refusal("4.3.4", false);
    assert!(no_curve.contains("4.3.4") && no_curve.contains("without CURVE"), "{no_curve}");
    // The same library is accepted once it has CURVE, and zmq-auth is told.
    let taken = succeed(&mut against_fake("4.3.3", true));
    assert!(!warns(&taken), "{}", stderr(&taken));
}

// -- vendor/zmq-sys/secret_memory.c -------------------------------------------------------------------------------------

#[test]
fn a_libzmq_that_has_its_secrets_elsewhere_does_not_build() {
    const ALLOCATOR: &str = "T *allocate (size_t n) { return sodium_allocarray (sizeof (T), n); }\n\
         void deallocate (T *p, size_t) { if (p) sodium_free (p); }\n";
    let built = |sources: &[(&str, &str)]| with_sources(sources).env("ZMQ_SYS_RECYCLE_SECRETS", "1").output().unwrap();
    let refusal = |sources: &[(&str, &str)]| {
        let output = built(sources);
        assert!(!output.status.success(), "these were taken: {sources:?}");
        let text = stderr(&output);
        text.lines().find(|line| line.starts_with("error: zmq-sys@")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let good = [("secure_allocator.hpp", ALLOCATOR), ("zmq.cpp", "free (p); // not sodium_free (p)\n")];
    let taken = built(&good);
    assert!(taken.status.success(), "{}", stderr(&taken));

    for call in ["sodium_allocarray", "sodium_free"] {
        for changed in [ALLOCATOR.replace(call, "other"), ALLOCATOR.replace(call, &format!("other // {call}"))] {
            let refused = refusal(&[("secure_allocator.hpp", &changed)]);
            let words = [call, "secure_allocator.hpp", "not recycled", "ZMQ_SYS_RECYCLE_SECRETS=0"];
            assert!(words.iter().all(|word| refused.contains(word)), "{refused}");
        }
    }
    for call in ["sodium_malloc", "sodium_allocarray", "sodium_free"] {
        let refused = refusal(&[good[0], ("curve_server.cpp", &format!("{call}(x);\n"))]);
        assert!(refused.contains("curve_server.cpp") && refused.contains(call), "{refused}");
    }
    // With recycling disabled, any version builds.
    let off = with_sources(&[("secure_allocator.hpp", "")]).env("ZMQ_SYS_RECYCLE_SECRETS", "0").output().unwrap();
    assert!(off.status.success(), "{}", stderr(&off));
    let neither = with_sources(&good).env("ZMQ_SYS_RECYCLE_SECRETS", "yes").output().unwrap();
    assert!(stderr(&neither).contains("ZMQ_SYS_RECYCLE_SECRETS is 1 or 0, not \"yes\""), "{}", stderr(&neither));
}

#[test]
fn secrets_are_recycled_unless_the_environment_says_no() {
    for (off, directory) in [(false, shared_target()), (true, target("libsodiums_secrets"))] {
        let consumer = |subcommand| {
            let mut cargo = cargo(subcommand, "patched", &directory);
            if off {
                cargo.env("ZMQ_SYS_RECYCLE_SECRETS", "0");
            }
            cargo
        };
        let built = succeed(consumer("build").arg("--message-format=json"));
        let archive = out_dir(&stdout(&built), "/zmq-sys").join("lib/libzmq.a");
        let bytes = fs::read(&archive).expect("read the archive");
        let has = |name: &[u8]| bytes.windows(name.len()).any(|window| window == name);
        assert_eq!(has(b"zmq_auth_secret_allocarray"), !off, "{}", archive.display());
        assert_eq!(stdout(&succeed(consumer("run"))), format!("libzmq 4.3.5\n{NULL_AND_PLAIN}{CURVE}"));
    }
}
