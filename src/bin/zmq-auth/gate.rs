//! `zmq-auth gate`: a guard in front of a ZeroMQ service that has no security of its own.

mod back;
mod clients;
mod collect;
mod control;
mod counts;
mod journal;
mod limits;
mod publish;
mod relay;
mod reply;
mod rights;
mod serve;
mod subscriptions;
mod table;
mod traffic;
mod watchdog;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgGroup;
use jiff::SignedDuration;
use metrics_exporter_prometheus::PrometheusBuilder;
use zmq_auth::{KeyPair, PolicyFile, Role};

pub(crate) use back::{Service, is_loopback};
pub(crate) use relay::{Kind, Settings};
pub(crate) use rights::TopicRights;
pub(crate) use serve::serve;
pub(crate) use table::{GateTable, TableProblem, read as read_tables};

use crate::output::{Exit, Failure, Output};
use crate::{bucket, endpoint, escape, time};

/// Guard a ZeroMQ service that has no security of its own: accept clients by a policy file and pass their messages on
///
/// The gate binds the front, where clients connect, and connects to the service at the back. Clients that the policy no longer
/// accepts are disconnected, and no others. Without --front, it runs the gates of the policy file's [[gate]] tables. On SIGTERM,
/// it forwards pending messages and exits. On SIGHUP, it reads the policy again; it also follows the file by itself.
#[derive(clap::Args)]
#[command(
    group = ArgGroup::new("mechanism").args(["key", "plain", "null"]),
    group = ArgGroup::new("one").args(["front"]).requires_all(["back", "kind", "domain", "mechanism"]),
    after_help = "Example:\n  zmq-auth gate policy.toml --front tcp://0.0.0.0:5555 --back ipc:///run/app.sock --kind reply \
                  --domain lab --key server.key_secret"
)]
pub(crate) struct Gate {
    /// The policy file
    policy: PathBuf,
    /// Where clients connect to: tcp://ADDRESS:PORT or ipc://PATH
    #[arg(long, value_name = "ENDPOINT")]
    front: Option<String>,
    /// The service: ipc://PATH, or a TCP port of this machine
    #[arg(long, value_name = "ENDPOINT", requires = "front")]
    back: Option<String>,
    /// Which socket types it connects
    #[arg(long, value_enum, requires = "front")]
    kind: Option<Kind>,
    /// The ZAP domain, whose tables decide
    #[arg(long, requires = "front")]
    domain: Option<String>,
    /// CURVE: the server's secret certificate
    #[arg(long, value_name = "FILE", requires = "front")]
    key: Option<PathBuf>,
    /// PLAIN clients; names and passwords cross the network in clear text
    #[arg(long, requires = "front")]
    plain: bool,
    /// NULL clients, by their addresses alone
    #[arg(long, requires = "front")]
    null: bool,
    /// Tell the service in a frame who sent each message
    #[arg(long, requires = "front")]
    sender_frame: bool,
    /// Metadata of clients to put into that frame
    #[arg(long, value_name = "KEY", requires = "sender_frame")]
    sender_metadata: Vec<String>,
    /// The UID that the service must run as; without it, this program's own or root's
    #[arg(long, value_name = "UID", requires = "front")]
    back_uid: Option<u32>,
    /// Needed for a service at a TCP port, whose owner can't be checked
    #[arg(long, requires = "front")]
    any_local_user_may_reach_the_service: bool,
    #[command(flatten)]
    process: Process,
}

/// What holds for the whole process.
#[derive(clap::Args)]
pub(crate) struct Process {
    /// How long to forward pending messages after SIGTERM
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time::span)]
    drain: SignedDuration,
    /// Serve metrics in Prometheus' format at this address, such as 127.0.0.1:9100
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
}

impl Process {
    pub(crate) fn drain(&self) -> Result<Duration, Failure> {
        let most = Duration::from_secs(60 * 60);
        let drain = Duration::try_from(self.drain).ok().filter(|drain| *drain <= most);
        drain.ok_or_else(|| Failure::usage("--drain must be at most 1h").hint("Write --drain 5s."))
    }

    /// Starts to serve metrics. Call it before anything is counted.
    pub(crate) fn serve_metrics(&self) -> Result<(), Failure> {
        let Some(address) = self.metrics else { return Ok(()) };
        let served = PrometheusBuilder::new().with_http_listener(address).install();
        served.map_err(|error| {
            Failure::new(format!("cannot serve metrics at {address}: {error}"))
                .hint("Is something else listening there?")
        })
    }
}

impl Gate {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        self.process.serve_metrics()?;
        let drain = self.process.drain()?;
        bucket::tell_of_contact();
        let policy = PolicyFile::open(&self.policy).map_err(|error| {
            Failure::from(error).hint(format!("All problems: zmq-auth lint {}", escape::shell(&self.policy)))
        })?;
        let gates = match self.table() {
            Some(table) => vec![settings(table, Path::new(""), &policy, drain)?],
            None => self.tables(&policy, drain)?,
        };
        policy.watch()?;
        serve(policy.authenticator(), &gates, output, || policy.reload().map(drop))?;
        Ok(Exit::Done)
    }

    /// The gate given on the command line.
    fn table(&self) -> Option<GateTable> {
        Some(GateTable {
            name: None,
            front: self.front.clone()?,
            back: self.back.clone()?,
            kind: self.kind?,
            domain: self.domain.clone()?,
            key: self.key.clone(),
            plain: self.plain,
            null: self.null,
            sender_frame: self.sender_frame,
            sender_metadata: self.sender_metadata.clone(),
            back_uid: self.back_uid,
            any_local_user_may_reach_the_service: self.any_local_user_may_reach_the_service,
            allow: None,
        })
    }

    /// The gates of the policy file.
    fn tables(&self, policy: &PolicyFile, drain: Duration) -> Result<Vec<Settings>, Failure> {
        let shown = escape::path(&self.policy);
        let tables = read_tables(&self.policy)
            .map_err(|problem| Failure::new(format!("{shown}:{}: {}", problem.line, escape::text(&problem.text))))?;
        if tables.is_empty() {
            return Err(Failure::usage(format!("{shown}: has no [[gate]] table, and there is no --front"))
                .hint("Say what to serve: --front, --back, --kind, --domain and --key, or a [[gate]] table."));
        }
        let directory = self.policy.parent().unwrap_or(Path::new(""));
        let mut gates: Vec<Settings> = Vec::new();
        for (line, table) in tables {
            let gate = settings(table, directory, policy, drain).map_err(|failure| failure.at(&self.policy, line))?;
            if gates.iter().any(|other| other.name == gate.name) {
                let problem = format!("two gates have the name {}", escape::text(&gate.name));
                return Err(Failure::usage(problem).at(&self.policy, line));
            }
            gates.push(gate);
        }
        Ok(gates)
    }
}

/// The settings from a table, whose paths are relative to the directory.
fn settings(table: GateTable, directory: &Path, policy: &PolicyFile, drain: Duration) -> Result<Settings, Failure> {
    endpoint::parse(&table.front, "Write tcp://ADDRESS:PORT or ipc://PATH.")?;
    let role = match (&table.key, table.plain, table.null) {
        (Some(key), false, false) => {
            let keys = KeyPair::load(directory.join(key)).map_err(|error| {
                Failure::from(error).hint("A server needs its secret certificate, such as server.key_secret.")
            })?;
            Role::curve_server(&keys, &table.domain)?
        }
        (None, true, false) => Role::plain_server(&table.domain)?,
        (None, false, true) => Role::null_server(&table.domain)?,
        _ => {
            return Err(Failure::usage("the mechanism of clients is one of key, plain and null")
                .hint("CURVE is key = \"server.key_secret\"."));
        }
    };
    if table.kind == Kind::Publish && table.sender_frame {
        return Err(Failure::usage("a publisher's messages have no sender frame").hint("Leave sender_frame out."));
    }
    if table.kind != Kind::Publish && table.allow.is_some() {
        return Err(Failure::usage("only a gate of the kind publish has topics").hint("Leave [[gate.allow]] out."));
    }
    if !table.sender_metadata.is_empty() && !table.sender_frame {
        return Err(Failure::usage("sender_metadata is for sender frames").hint("Add sender_frame = true."));
    }
    let mut rights = TopicRights::default();
    if let Some(rules) = &table.allow {
        rights.limit();
        rules.iter().for_each(|rule| rights.allow(rule.user.as_deref(), &rule.topics));
    }
    let any_local_user = table.any_local_user_may_reach_the_service;
    Ok(Settings {
        name: table.name.unwrap_or_else(|| table.front.clone()),
        kind: table.kind,
        front: table.front,
        front_mode: None,
        role,
        service: Service::on_this_machine(&table.back, table.back_uid, any_local_user)?,
        sender_frames: table.sender_frame.then_some(table.sender_metadata),
        rights,
        message_size: policy.message_size(),
        drain,
    })
}
