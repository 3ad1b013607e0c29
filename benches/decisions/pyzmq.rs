//! pyzmq's thread authenticator, in a separate process: `benches/python/decisions.py`, with the same load driver.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use zmq_auth::PublicKey;

use super::contestant::Contestant;
use super::driver::{Counts, Driver, Load, Measured, NAMES, ROOM};
use super::population::{self, Population};
use super::requests::Requests;

pub(crate) const NAME: &str = "pyzmq";

struct Pyzmq {
    // `None` once it was closed, which tells the child to end.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    child: Child,
    directory: tempfile::TempDir,
}

pub(crate) fn contestant(driver: &Driver, requests: &Requests, population: Population) -> Result<Box<dyn Contestant>> {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let file = |name: &str, content: &[u8]| -> Result<PathBuf> {
        let file = directory.path().join(name);
        std::fs::write(&file, content)?;
        Ok(file)
    };
    let members = file("members", members(population).as_bytes())?;
    let requested = file("requests", &requests.bytes)?;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/decisions.py");
    let mut child = Command::new(zmq_auth_benches::python())
        .arg(program)
        .args([driver.file(), &members, &requested, &directory.path().join("latencies")])
        .args([requests.mechanism.to_str()?, super::DOMAIN, &ROOM.to_string(), &NAMES.join(",")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("Python starts")?;
    let commands = child.stdin.take();
    let answers = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
    let mut pyzmq = Pyzmq { commands, answers, child, directory };
    ensure!(pyzmq.line()? == "ready", "pyzmq has its store loaded");
    Ok(Box::new(pyzmq))
}

/// The members, one on each line.
fn members(population: Population) -> String {
    let (Population::Keys(size) | Population::Users(size) | Population::Addresses(.., size)) = population;
    let line = |number| match population {
        Population::Keys(_) => PublicKey::from(population::key(number)).to_string(),
        Population::Users(_) => population::user(number) + "=" + &population::password(number),
        Population::Addresses(family, shape, _) => population::rule(family, shape, number),
    };
    (0..size.into()).map(|number| line(number) + "\n").collect()
}

impl Pyzmq {
    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Contestant for Pyzmq {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&mut self, load: &Load) -> Result<Measured> {
        let Load { sockets, window, seconds, warm_up, latencies } = *load;
        // The full warm-up would take seconds.
        let (warm_up, latencies) = (warm_up.min(500), u8::from(latencies));
        let commands = self.commands.as_mut().context("open until the end")?;
        writeln!(commands, "{sockets} {window} {warm_up} {seconds} {latencies}")?;
        let counts: Counts = serde_json::from_str(&self.line()?).context("pyzmq's figures")?;
        let mut measured = Measured { counts, latencies: Vec::new() };
        if load.latencies {
            let bytes = std::fs::read(self.directory.path().join("latencies"))?;
            let numbers = bytes.chunks_exact(4).map(|four| u32::from_ne_bytes(four.try_into().expect("four bytes")));
            measured.latencies = numbers.collect();
            measured.latencies.sort_unstable();
        }
        Ok(measured)
    }
}

impl Drop for Pyzmq {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.child.wait();
    }
}
