//! Measurements in separate processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use zmq_auth::{Authenticator, KeyDirectory};

use super::files;

/// What a process of this program measures.
pub(crate) enum Task {
    /// Opens a directory.
    Load(PathBuf),
    /// Reloads it without a change, and with one changed file.
    Reload(PathBuf),
    /// Puts this many keys into a set.
    Set(u32),
}

/// How many processors a process may use.
pub(crate) enum Cpus {
    One,
    All,
}

/// The output of a process: names and numbers.
pub(crate) struct Child(BTreeMap<String, u64>);

impl Child {
    pub(crate) fn c_loop(program: &Path, directory: &Path) -> Result<Self> {
        Child::run(program.into(), [directory.into()], &Cpus::One)
    }

    pub(crate) fn pyzmq(directory: &Path) -> Result<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/key_directory.py");
        Child::run(zmq_auth_benches::python().into(), [program.into(), directory.into()], &Cpus::One)
    }

    pub(crate) fn ours(task: Task, cpus: Cpus) -> Result<Self> {
        Child::run(std::env::current_exe()?.into(), task.arguments(), &cpus)
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        *self.0.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.0))
    }

    fn run<const N: usize>(program: OsString, arguments: [OsString; N], cpus: &Cpus) -> Result<Self> {
        let mut command = match cpus {
            Cpus::All => Command::new(program),
            // The crate starts no more threads than it may use processors.
            Cpus::One => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &a_cpu()?]).arg(program);
                command
            }
        };
        let output = command.args(arguments).stderr(Stdio::inherit()).output();
        let output = output.context("this needs taskset (Debian, Ubuntu: apt-get install util-linux)")?;
        ensure!(output.status.success(), "{command:?}: {}", output.status);
        let said = String::from_utf8(output.stdout)?;
        let numbers = said.lines().map(|line| {
            let (name, number) = line.split_once(' ').context("a name and a number")?;
            Ok((name.to_owned(), number.parse()?))
        });
        numbers.collect::<Result<_>>().map(Child)
    }
}

impl Task {
    /// The task that this process was started for, if any.
    pub(crate) fn of(arguments: &[String]) -> Option<Result<Self>> {
        let [_, measure, what, of] = arguments else { return None };
        (measure == "measure").then(|| match what.as_str() {
            "load" => Ok(Task::Load(of.into())),
            "reload" => Ok(Task::Reload(of.into())),
            "set" => Ok(Task::Set(of.parse()?)),
            other => bail!("no task: {other}"),
        })
    }

    fn arguments(&self) -> [OsString; 3] {
        let (what, of) = match self {
            Task::Load(directory) => ("load", directory.into()),
            Task::Reload(directory) => ("reload", directory.into()),
            Task::Set(keys) => ("set", keys.to_string().into()),
        };
        ["measure".into(), what.into(), of]
    }

    pub(crate) fn run(self) -> Result<()> {
        match self {
            Task::Load(directory) => load(&directory),
            Task::Reload(directory) => reload(&directory),
            Task::Set(keys) => set(keys),
        }
    }
}

fn load(directory: &Path) -> Result<()> {
    let before = resident()?;
    let (keys, ns) = timed(|| KeyDirectory::open(directory))?;
    println!("ns {ns}\ngrown {}\nfiles {}", resident()?.saturating_sub(before), keys.status().entries);
    Ok(())
}

fn reload(directory: &Path) -> Result<()> {
    let keys = KeyDirectory::open(directory)?;
    let start = Instant::now();
    // Files younger than 2 s are always read again.
    while keys.reload()?.read > 0 {
        ensure!(start.elapsed() < Duration::from_secs(60), "the files stay young");
    }
    let (_, unchanged) = timed(|| keys.reload())?;
    files::change(directory, 1, 1, u32::MAX)?;
    let (reload, one_changed) = timed(|| keys.reload())?;
    files::change(directory, 1, u32::MAX, 1)?;
    ensure!(reload.read == 1 && reload.changed == 1, "one file is read: {reload:?}");
    println!("unchanged {unchanged}\none_changed {one_changed}");
    Ok(())
}

fn set(keys: u32) -> Result<()> {
    let before = resident()?;
    let authenticator = Authenticator::new();
    authenticator.configure_curve_keys("domain", (0..keys).map(files::key))?;
    println!("grown {}", resident()?.saturating_sub(before));
    Ok(())
}

fn timed<T>(act: impl FnOnce() -> zmq_auth::Result<T>) -> Result<(T, u128)> {
    let start = Instant::now();
    let result = act()?;
    Ok((result, start.elapsed().as_nanos()))
}

/// Resident memory in bytes, as the kernel counts it.
fn resident() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc/self/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

/// The last processor that this process may use.
fn a_cpu() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let list =
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).context("no Cpus_allowed_list")?;
    Ok(list.trim().rsplit([',', '-']).next().unwrap_or("0").to_owned())
}
