//! The examples: each runs, ends with exit code 0, and prints what it must. They check themselves that what they show is
//! true.

// Created here, so that the examples' deadline doesn't have to include an installation.
#[allow(dead_code)]
#[path = "../examples/support/pyzmq.rs"]
mod pyzmq;

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

/// Each example takes less than a second or two.
const DEADLINE: Duration = Duration::from_secs(30);

/// The passwords in the examples, which none of them may print.
const PASSWORDS: [&str; 2] = ["correct horse battery staple", "Tr0ub4dor&3"];

/// A test for each example, with the words that its output must contain, in this order.
macro_rules! examples {
    ($($(#[$attribute:meta])* $name:ident: [$($word:literal),+ $(,)?];)+) => {
        $(
            #[test]
            $(#[$attribute])*
            fn $name() {
                let said = run(stringify!($name));
                assert_in_order(&said, &[$($word),+]);
            }
        )+
        const TESTED: &[&str] = &[$(stringify!($name)),+];
    };
}

examples! {
    plain: [
        "Alice with her password: authenticated",
        "Some(\"alice\")",
        "Alice with a wrong one: denied (400)",
        "Mallory, who is no user: denied (400)",
        "No request of a refused client reached the server",
    ];
    ironhouse: [
        "Alice, whose key is on the list", "client saw: authenticated", "server saw: authenticated", "by her public key",
        "Mallory, whose key isn't", "client saw: denied (400)", "server saw: denied (400)",
        "wrong server key:", "client saw: no handshake", "server saw: no handshake",
        "without any keys", "client saw: no handshake", "server saw: no handshake",
        "Nobody else's message reached the server",
    ];
    scope_guard: [
        "Before the scope: refused", "Inside the scope: authenticated", "After the scope:  refused", "Started again:    authenticated",
        "Stopped.",
    ];
    address_filtering: [
        "127.0.0.1: authenticated", "127.0.0.66, because deny wins: denied (400)", "127.1.0.1, because it isn't", "denied (400)",
        "address rule \"localhost\"", "127.0.7.7, still: authenticated",
        "deny 127.0.0.0/24", "127.0.0.1: denied (400)", "no allow list now: authenticated",
        "by ipc", "client of this user: authenticated", "another user", "client of this user: denied (400)",
    ];
    curve_callback: [
        "Alice: authenticated, as alice (admin)", "Mallory: denied (400)", "suspended: denied (400)",
        "taken back: authenticated, as bob (reader)", "left the club: denied (400)",
    ];
    certificates: [
        "Made and loaded server.key and server.key_secret", "[(\"name\", \"Alice\"), (\"team\", \"blue\")]",
        "Alice: authenticated, as Alice (blue)", "new certificate: authenticated, as Alice (red)",
        "old one: denied (400)", "an existing alice.key_secret is refused", "line break in metadata: metadata \"name\"",
        "broken.key", "2", "40 characters", "still count: authenticated",
    ];
    domains: [
        "Alice at the office: authenticated", "arrived at the office", "Alice at the workshop: authenticated",
        "arrived at the workshop", "Bob at the office: denied (400)", "Bob at the workshop: authenticated",
        "arrived at the workshop", "Mallory at the office: denied (400)", "Mallory at the workshop: denied (400)",
    ];
    key_management: [
        "SecretKey(…)", "server.key_secret with mode 600", "Loaded the same keys", "After chmod 644:", "chmod 600",
        "Computed the public key", "not a pair", "A client of this server needs", "40 characters",
    ];
    logging: [
        "[INFO zmq_auth] allowed PLAIN", "alice", "[WARN zmq_auth] denied PLAIN", "alice",
        "[WARN zmq_auth] denied PLAIN", "mallory\\n", "no password in any",
    ];
    pyzmq_client: [
        "Mallory's Python: denied (400)", "hello from pyzmq", "Alice's Python: accepted: hello from Rust",
    ];
    pyzmq_server: [
        "Mallory: denied (400)", "Alice: authenticated", "pyzmq got 'hello from Rust'",
    ];
    gatehouse: [
        "Rust, authorised    yes       accepted: welcome          authenticated, then \"hello from Rust\"",
        "Rust, a stranger    no        denied (400)               denied (400)",
        "pyzmq, authorised   yes       accepted: welcome          authenticated, then \"hello from pyzmq\"",
        "pyzmq, a stranger   no        denied (400)               denied (400)",
        "No stranger's message reached the server",
    ];
    #[cfg(all(feature = "tokio", feature = "argon2", feature = "watch"))]
    password_file: [
        "alice=$argon2id$v=19$m=19456,t=2,p=1$", "the right password: Authenticated", "a wrong one: Denied(400)",
        "0 users added, 1 changed, 0 removed", "her new password: Authenticated",
    ];
    #[cfg(feature = "tokio")]
    async_server: [
        "Alice, whose key is on the list: authenticated", "Mallory, whose key isn't: denied (400)", "it is Alice's",
        "Stopped: 1 accepted, 1 refused",
    ];
    #[cfg(feature = "tokio")]
    async_database: [
        "Alice, who is in the database: authenticated, as alice", "Bob, who is too: authenticated, as bob",
        "Mallory, who isn't: denied (400)", "Bob, removed, and the cache was told: denied (400)",
        "Alice, removed behind the cache's back:", "then denied (400)", "when the database fails: denied (500)",
    ];
    #[cfg(feature = "tokio")]
    polled_database: [
        "The database was read: 2 keys", "Alice: authenticated", "removed from the database: denied (400)",
        "while the database is locked: authenticated", "2s later: told to retry", "removed meanwhile: denied (400)",
        "took its place: authenticated", "can't be used: denied (400)",
    ];
    #[cfg(feature = "tokio")]
    tmq_server: [
        "Alice: authenticated", "good morning, alice", "Mallory: denied (400)", "Stopped.",
    ];
}

#[test]
fn every_example_has_its_test() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).expect("the examples") {
        let path = entry.expect("an entry").path();
        // As Cargo finds them: NAME.rs, NAME/main.rs, and NAME/Cargo.toml for one with its own dependencies.
        let is_file = path.extension().is_some_and(|extension| extension == "rs");
        if is_file || path.join("main.rs").exists() || path.join("Cargo.toml").exists() {
            found.insert(path.file_stem().expect("a name").to_string_lossy().into_owned());
        }
    }
    let known: BTreeSet<String> = TESTED.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(found, known, "left: what there is; right: what is tested");
}

#[test]
fn without_python_the_error_says_what_to_install() {
    // Run in another directory, where no virtual environment is.
    let target = tempfile::tempdir().expect("a directory");
    let directory = target.path().join("debug/examples");
    fs::create_dir_all(&directory).expect("a directory");
    let program = directory.join("gatehouse");
    fs::copy(executable("gatehouse"), &program).expect("a copy of gatehouse");

    let output =
        Command::new(&program).env("PATH", "").env_remove("ZMQ_AUTH_PYTHON").output().expect("gatehouse starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for word in ["python3-venv", "ZMQ_AUTH_PYTHON", "cannot run \"python3\""] {
        assert!(said.contains(word), "{word} isn't in: {said}");
    }
}

/// Runs one example to its end, and returns what it printed.
fn run(name: &str) -> String {
    if let "pyzmq_client" | "pyzmq_server" | "gatehouse" = name {
        pyzmq::python().unwrap_or_else(|error| panic!("{error:?}"));
    }
    let mut errors = tempfile::tempfile().expect("a temporary file");
    let mut example = Command::new(executable(name))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(duplicate(&errors))
        .spawn()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut stdout = example.stdout.take().expect("a pipe was asked for");
    let (sender, said) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    // The pipe closes when the process ends.
    let in_time = said.recv_timeout(DEADLINE).ok();
    if in_time.is_none() {
        example.kill().expect("it can be killed");
    }
    let status = example.wait().expect("its exit code");
    let said = in_time.clone().or_else(|| said.recv_timeout(DEADLINE).ok()).unwrap_or_default();
    let mut complaints = String::new();
    errors.rewind().and_then(|()| errors.read_to_string(&mut complaints)).expect("what it wrote to stderr");

    assert!(in_time.is_some(), "{name} didn't end within {DEADLINE:?}:\n{said}{complaints}");
    assert!(status.success(), "{name}: {status}\n{said}{complaints}");
    for password in PASSWORDS {
        assert!(!said.contains(password) && !complaints.contains(password), "{name} prints a password");
    }
    said
}

fn duplicate(file: &File) -> File {
    file.try_clone().expect("another handle on the file")
}

fn assert_in_order(said: &str, words: &[&str]) {
    let mut rest = said;
    for word in words {
        let Some((_, behind)) = rest.split_once(word) else { panic!("{word:?} isn't where it belongs in:\n{said}") };
        rest = behind;
    }
}

fn executable(name: &str) -> &'static Path {
    static BUILT: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).get(name).unwrap_or_else(|| panic!("there is no example {name} with these features"))
}

/// Builds all examples, as this test was built; Cargo's messages name the programs. With features, packages with their own
/// manifest are included: `--workspace` shares what `cargo test --workspace` builds.
fn build() -> HashMap<String, PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--examples", "--message-format=json", "--target-dir"]).arg(target);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    if cfg!(feature = "tokio") {
        cargo.args(["--workspace", "--bins", "--all-features"]);
    }
    cargo.args((!cfg!(debug_assertions)).then_some("--release"));
    let output = cargo.output().expect("cargo starts");
    assert!(output.status.success(), "{cargo:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));

    let field =
        |line: &str, name: &str| Some(line.split_once(&format!("\"{name}\":\""))?.1.split_once('"')?.0.to_owned());
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains("\"kind\":[\"example\"]") || line.contains("\"kind\":[\"bin\"]"))
        .filter_map(|line| Some((field(line, "name")?, field(line, "executable")?.into())))
        .collect()
}
