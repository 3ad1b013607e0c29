//! The peers: programs in any language that speak the protocol of `zmq-auth matrix` (`src/harness.md`), each described by a
//! `peer.toml`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::escape;
use crate::output::Failure;

/// The time limit for a peer to start and end when it is tried out. A JVM takes several seconds to start.
const START: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mechanism {
    Null,
    Plain,
    Curve,
}

impl Mechanism {
    pub(crate) const ALL: [Mechanism; 3] = [Mechanism::Null, Mechanism::Plain, Mechanism::Curve];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mechanism::Null => "null",
            Mechanism::Plain => "plain",
            Mechanism::Curve => "curve",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Server,
    Client,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
        }
    }
}

/// What a peer's stack reports about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Report {
    ServerHandshake,
    ClientHandshake,
    UserId,
    Address,
}

/// What a peer can do besides accepting and refusing clients by their credentials over TCP.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ability {
    Ipc,
    Reload,
    AddressRules,
    Certificates,
    /// As a server, it can answer every client with 300.
    PutOff,
}

/// A peer, as its `peer.toml` describes it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// The implementation of ZMTP.
    pub(crate) stack: String,
    /// The versions it was tested with, as text for the report.
    pub(crate) version: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) mechanisms: Vec<Mechanism>,
    #[serde(default)]
    pub(crate) reports: Vec<Report>,
    #[serde(default)]
    pub(crate) can: Vec<Ability>,
    /// The program and its first arguments, with the placeholders of [`Peer::filled`]. What it is to do is appended.
    command: Vec<String>,
    /// A shell command that installs what the peer needs, run in the peer's directory. Running it again
    /// does no harm.
    install: Option<String>,
    /// What to tell the user to type, instead of `zmq-auth matrix --install --only NAME`.
    hint: Option<String>,
    #[serde(default)]
    pub(crate) needs_root: bool,
    #[serde(skip)]
    here: PathBuf,
    #[serde(skip)]
    root: PathBuf,
}

impl Peer {
    /// A peer of which only the command is known (`--peer`). It answers `unsupported` to what it can't do; certificates and
    /// 300 aren't tried.
    pub(crate) fn from_command(name: &str, command: &str) -> Self {
        let words = ["sh", "-c", &format!("exec {command} \"$@\""), "peer"];
        Peer {
            name: name.to_owned(),
            stack: "unknown".to_owned(),
            version: "unknown (given with --peer)".to_owned(),
            roles: vec![Role::Server, Role::Client],
            mechanisms: Mechanism::ALL.to_vec(),
            reports: Vec::new(),
            can: vec![Ability::Ipc, Ability::Reload, Ability::AddressRules],
            command: words.map(str::to_owned).to_vec(),
            install: None,
            hint: None,
            needs_root: false,
            here: PathBuf::new(),
            root: PathBuf::new(),
        }
    }

    pub(crate) fn can(&self, ability: Ability) -> bool {
        self.can.contains(&ability)
    }

    pub(crate) fn reports(&self, report: Report) -> bool {
        self.reports.contains(&report)
    }

    /// The command that starts the peer, with these arguments appended.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.command.iter().map(|word| self.filled(word));
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).args(arguments);
        command
    }

    /// How to install it, for the user.
    pub(crate) fn hint(&self) -> String {
        match (&self.hint, &self.install) {
            (Some(hint), _) => hint.clone(),
            (None, Some(_)) => format!("zmq-auth matrix --install --only {}", self.name),
            (None, None) => "it has no install command".to_owned(),
        }
    }

    /// Runs its install command. The error is the last line of its standard error (or else of its output), or its exit
    /// status if it printed nothing.
    pub(crate) fn install(&self) -> Result<(), String> {
        let Some(install) = &self.install else { return Ok(()) };
        let mut command = Command::new("sh");
        command.args(["-c", &self.filled(install)]).current_dir(&self.here).stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("sh: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        let last = printed.lines().rfind(|line| !line.trim().is_empty());
        Err(last.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned()))
    }

    /// Starts it in each of its roles and lets it end. An error says why it can't run.
    pub(crate) fn try_out(&self) -> Result<(), String> {
        for role in &self.roles {
            Process::start(self.command(&[role.name()]))?.end(START)?;
        }
        Ok(())
    }

    /// Replaces `{here}` (the peer's directory), `{root}` (the repository) and `{target}` (Cargo's target directory).
    fn filled(&self, word: &str) -> String {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
        let target = self.root.join(target);
        [("{here}", &self.here), ("{root}", &self.root), ("{target}", &target)]
            .iter()
            .fold(word.to_owned(), |word, (name, path)| word.replace(name, &path.to_string_lossy()))
    }
}

/// Finds the directory of the peers, from the current directory upward.
pub(crate) fn find_directory() -> Result<PathBuf, Failure> {
    let here = std::env::current_dir()
        .map_err(|error| Failure::new(format!("can't determine the current directory: {error}")))?;
    let found = here.ancestors().map(|directory| directory.join("tests/interop/peers")).find(|path| path.is_dir());
    found.ok_or_else(|| {
        Failure::new("no tests/interop/peers in the current directory or above it")
            .hint("Run it in a clone of the repository, or name the directory with --peers DIRECTORY.")
    })
}

/// Reads every `*/peer.toml` in a directory. Sorted by name, except that `rust` comes first: the other cases run against
/// it.
pub(crate) fn read(directory: &Path) -> Result<Vec<Peer>, Failure> {
    let cannot = |path: &Path, error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", escape::path(path)));
    let directory = directory.canonicalize().map_err(|error| cannot(directory, &error))?;
    let root = directory.ancestors().find(|path| path.join("Cargo.lock").exists()).unwrap_or(&directory);
    let mut peers = Vec::new();
    for entry in fs::read_dir(&directory).map_err(|error| cannot(&directory, &error))? {
        let here = entry.map_err(|error| cannot(&directory, &error))?.path();
        let file = here.join("peer.toml");
        if !file.exists() {
            continue;
        }
        let text = fs::read_to_string(&file).map_err(|error| cannot(&file, &error))?;
        let peer: Peer = toml::from_str(&text).map_err(|error| cannot(&file, &error))?;
        if peer.command.is_empty() || !here.ends_with(&peer.name) {
            return Err(cannot(&file, &"`command` must not be empty, and `name` must be the name of its directory"));
        }
        peers.push(Peer { here, root: root.to_owned(), ..peer });
    }
    peers.sort_by_key(|peer| (peer.name != super::REFERENCE, peer.name.clone()));
    Ok(peers)
}
