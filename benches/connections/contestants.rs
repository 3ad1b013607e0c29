//! The contestants, which answer the server's ZAP requests, and how their programs are found or built.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::server::{KeyFiles, SERVE};
use super::{DOMAIN, czmq};
use zmq_auth_benches::report;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// No handler: CURVE accepts everybody.
    NoZap,
    /// The minimal handler: raw libzmq calls that answer 200 to every request.
    Floor,
    Thread,
    Tokio,
    /// As `Thread`, with two I/O threads of libzmq.
    TwoIoThreads,
    /// As `Thread`, with four.
    FourIoThreads,
    /// As `Thread`, with libzmq's default listen backlog.
    Backlog100,
    /// As `Thread`, on the bundled libzmq built without recycling the memory of secrets.
    NotReused,
    /// As `Thread`, on the system's libzmq.
    System,
    Pyzmq,
    Czmq,
    /// omq-tokio: another implementation of ZMTP, in Rust, without libsodium.
    Omq,
}

const ALL: [Contestant; 12] = [
    Contestant::NoZap,
    Contestant::Floor,
    Contestant::Thread,
    Contestant::Tokio,
    Contestant::TwoIoThreads,
    Contestant::FourIoThreads,
    Contestant::Backlog100,
    Contestant::NotReused,
    Contestant::System,
    Contestant::Pyzmq,
    Contestant::Czmq,
    Contestant::Omq,
];

impl Contestant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Contestant::NoZap => "no ZAP",
            Contestant::Floor => "floor",
            Contestant::Thread => "zmq-auth thread",
            Contestant::Tokio => "zmq-auth tokio",
            Contestant::TwoIoThreads => "thread, 2 I/O threads",
            Contestant::FourIoThreads => "thread, 4 I/O threads",
            Contestant::Backlog100 => "thread, backlog of 100",
            Contestant::NotReused => "thread, secrets not reused",
            Contestant::System => "thread, system's libzmq",
            Contestant::Pyzmq => "pyzmq",
            Contestant::Czmq => "czmq",
            Contestant::Omq => "omq-tokio",
        }
    }

    /// The number of I/O threads of its context.
    pub(crate) fn io_threads(self) -> i32 {
        match self {
            Contestant::TwoIoThreads => 2,
            Contestant::FourIoThreads => 4,
            _ => 1,
        }
    }

    pub(crate) fn backlog(self) -> i32 {
        if self == Contestant::Backlog100 { 100 } else { 1_000 }
    }

    /// Whether its connections are measured one by one.
    pub(crate) fn is_in_the_tables(self) -> bool {
        self != Contestant::Backlog100
    }

    /// Whether it takes part in the reconnect storm, where its server has one processor.
    pub(crate) fn meets_a_storm(self) -> bool {
        self != Contestant::NoZap && self.io_threads() == 1
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|contestant| contestant.name() == name)
    }
}

/// A contestant whose program is available.
pub(crate) struct Available {
    pub(crate) contestant: Contestant,
    program: PathBuf,
}

impl Available {
    /// The command that starts its server for these keys.
    pub(crate) fn command(&self, files: &KeyFiles) -> Command {
        let mut command = Command::new(&self.program);
        match self.contestant {
            Contestant::Pyzmq => {
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/connections.py")).arg(DOMAIN)
            }
            Contestant::Omq => &mut command,
            _ => command.args([SERVE, self.contestant.name()]),
        };
        command.arg(files.directory.path());
        command
    }
}

/// The available contestants, and why the others are missing. In a benchmark, makes the separate builds that some need.
pub(crate) fn find() -> (Vec<Available>, Vec<String>) {
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for contestant in ALL {
        match program(contestant) {
            Ok(program) => here.push(Available { contestant, program }),
            Err(why) => missing.push(format!("{} is not measured: {why:#}.", contestant.name())),
        }
    }
    (here, missing)
}

fn program(contestant: Contestant) -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    match contestant {
        Contestant::NoZap
        | Contestant::Floor
        | Contestant::Thread
        | Contestant::Tokio
        | Contestant::TwoIoThreads
        | Contestant::FourIoThreads
        | Contestant::Backlog100 => Ok(here),
        Contestant::Pyzmq => Ok(zmq_auth_benches::python().into()),
        Contestant::Czmq => match czmq::missing() {
            None => Ok(here),
            Some(why) => Err(anyhow::anyhow!(why)),
        },
        Contestant::NotReused | Contestant::System | Contestant::Omq => {
            ensure!(report::is_benchmark(), "its build takes minutes");
            match contestant {
                Contestant::NotReused => build_variant("not-reused", ("ZMQ_SYS_RECYCLE_SECRETS", "0")),
                Contestant::System => {
                    let found = Command::new("pkg-config").args(["--exists", "libzmq"]).status();
                    ensure!(
                        found.is_ok_and(|found| found.success()),
                        "no libzmq.pc (Debian: apt-get install libzmq3-dev)"
                    );
                    build_variant("system", ("ZMQ_SYS_USE_PKG_CONFIG", "1"))
                }
                _ => build_omq(),
            }
        }
    }
}

/// Another build of this program, kept for later runs.
fn build_variant(name: &str, variable: (&str, &str)) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "bench",
        "--locked",
        "--no-run",
        "-p",
        "zmq-auth-benches",
        "--bench",
        "connections",
        "--message-format=json",
    ]);
    cargo.env("CARGO_TARGET_DIR", contestants_directory().join(name)).env(variable.0, variable.1);
    built(cargo, "\"kind\":[\"bench\"]")
}

fn build_omq() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("omq/Cargo.toml");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--release", "--message-format=json", "--manifest-path"]).arg(manifest);
    cargo.env("CARGO_TARGET_DIR", contestants_directory().join("omq"));
    built(cargo, "\"kind\":[\"bin\"]")
}

fn contestants_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench/contestants")
}

/// The program that Cargo has built.
fn built(mut cargo: Command, kind: &str) -> Result<PathBuf> {
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{cargo:?} fails");
    let messages = String::from_utf8(output.stdout)?;
    let program = messages.lines().filter(|line| line.contains(kind)).find_map(|line| {
        let (_, rest) = line.split_once("\"executable\":\"")?;
        Some(PathBuf::from(rest.split('"').next()?))
    });
    program.with_context(|| format!("{cargo:?} names no program"))
}
