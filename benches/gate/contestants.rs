//! The contestants: the processes between the clients and the service.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use zmq_auth_benches::{processor_time, report};

use super::clients::{self, Load};
use super::place::Place;
use super::service::Service;
use super::{DOMAIN, Kind, Mechanism, proxy};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// Nothing: the service is the clients' server.
    Direct,
    Proxy,
    Gate,
}

pub(crate) const CONTESTANTS: [Contestant; 3] = [Contestant::Direct, Contestant::Proxy, Contestant::Gate];

impl Contestant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Contestant::Direct => "no proxy",
            Contestant::Proxy => "zmq_proxy",
            Contestant::Gate => "zmq-auth gate",
        }
    }
}

/// A contestant with its service; both end when this is dropped.
pub(crate) struct Running {
    pub(crate) contestant: Contestant,
    /// `None` if there is nothing in between.
    process: Option<Process>,
    service: Service,
    front: String,
}

/// The result of a run.
pub(crate) struct Measured {
    pub(crate) messages: usize,
    pub(crate) time: Duration,
    /// The sorted round-trip times, if each client waits for its answer.
    pub(crate) round_trips: Vec<Duration>,
    /// The CPU time of the process in between.
    pub(crate) cpu: Option<Duration>,
}

struct Process(Child);

impl Running {
    pub(crate) fn start(contestant: Contestant, place: &Place, kind: Kind, mechanism: Mechanism) -> Result<Self> {
        if contestant == Contestant::Direct {
            let service = Service::guarded(kind, mechanism, place)?;
            return Ok(Running { contestant, process: None, front: service.endpoint.clone(), service });
        }
        let back = place.back(contestant.name());
        let service = Service::bare(kind, &back)?;
        let (process, front) = match contestant {
            Contestant::Gate => gate(place, &back, kind, mechanism)?,
            _ => bare_proxy(place, &back, kind, mechanism)?,
        };
        ensure!(front.starts_with("tcp://"), "{} doesn't start", contestant.name());
        Ok(Running { contestant, process: Some(process), service, front })
    }

    /// Runs this load for its time.
    pub(crate) fn measure(&mut self, place: &Place, load: Load) -> Result<Measured> {
        let pid = self.process.as_ref().map(|process| process.0.id());
        let cpu = || pid.map(processor_time::of).transpose();
        clients::run(place, &self.front, &self.service, load, cpu)
            .with_context(|| format!("{}, {load:?}", self.contestant.name()))
    }
}

fn gate(place: &Place, back: &str, kind: Kind, mechanism: Mechanism) -> Result<(Process, String)> {
    let mut command = Command::new(program()?);
    command.current_dir(place.path()).args(["--json", "gate", "policy.toml", "--front", "tcp://127.0.0.1:*"]);
    command.args(["--back", back, "--kind", kind.name(), "--domain", DOMAIN]);
    match mechanism {
        Mechanism::Curve => command.args(["--key", "server.key_secret"]),
        Mechanism::Null => command.arg("--null"),
    };
    let mut process = Process(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let mut lines = BufReader::new(process.0.stdout.take().context("a pipe was asked for")?).lines();
    let listening = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("\"Listening\"")));
    let line: serde_json::Value = serde_json::from_str(&listening.context("the gate doesn't listen")??)?;
    let front = line["front"].as_str().unwrap_or_default().to_owned();
    // Discards the line that it writes for each client.
    thread::spawn(move || lines.for_each(drop));
    Ok((process, front))
}

fn bare_proxy(place: &Place, back: &str, kind: Kind, mechanism: Mechanism) -> Result<(Process, String)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([proxy::SERVE, kind.name(), mechanism.name()]).arg(place.path());
    let mut process = Process(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let stdin = process.0.stdin.as_mut().context("a pipe was asked for")?;
    writeln!(stdin, "{back}")?;
    let mut front = String::new();
    BufReader::new(process.0.stdout.as_mut().context("a pipe was asked for")?).read_line(&mut front)?;
    Ok((process, front.trim().to_owned()))
}

/// The program `zmq-auth`, built as this one was.
fn program() -> Result<PathBuf> {
    let target = report::target_directory()?;
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--locked", "--quiet", "--bin", "zmq-auth", "--features", "cli", "--target-dir"]).arg(&target);
    cargo.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    ensure!(cargo.status()?.success(), "{cargo:?} fails");
    Ok(target.join(if cfg!(debug_assertions) { "debug" } else { "release" }).join("zmq-auth"))
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
