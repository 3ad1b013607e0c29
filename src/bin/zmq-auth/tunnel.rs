//! `zmq-auth tunnel`: the client's side of a gate, for clients without security.

use std::path::PathBuf;

use nix::unistd::getuid;
use zmq_auth::{Authenticator, IpcRule, Role};

use crate::endpoint::{self, Transport};
use crate::escape;
use crate::gate::{self, Kind, Process, Service, Settings, TopicRights};
use crate::key_files;
use crate::output::{Exit, Failure, Output};

/// Let a client without security of its own reach a guarded server
///
/// The client connects to a socket of this machine; the tunnel connects to the server as a CURVE client, and passes messages
/// on. Whoever can connect there acts with its key: over ipc, only this program's user, or the users of --local-uid.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  zmq-auth tunnel --local ipc:///run/app.sock --to tcp://192.0.2.7:5555 --kind reply \
                        --server server.key --key me.key_secret\n\n\
                        Exit codes: 0 ended by a signal, 3 the server denies this client."
)]
pub(crate) struct Tunnel {
    /// Where the client connects to: ipc://PATH, or a TCP port of this machine
    #[arg(long, value_name = "ENDPOINT")]
    local: String,
    /// The server, such as tcp://192.0.2.7:5555
    #[arg(long, value_name = "ENDPOINT")]
    to: String,
    /// Which socket types it connects
    #[arg(long, value_enum)]
    kind: Kind,
    /// The server's public certificate
    #[arg(long, value_name = "FILE")]
    server: PathBuf,
    /// This client's secret certificate
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The number of a user that may use it [default: only this program's user]
    #[arg(long, value_name = "UID")]
    local_uid: Vec<u32>,
    /// For a TCP port, which everybody on this machine can connect to
    #[arg(long, conflicts_with = "local_uid")]
    any_local_user_may_use_the_key: bool,
    #[command(flatten)]
    process: Process,
}

impl Tunnel {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        self.process.serve_metrics()?;
        let policy = self.policy()?;
        endpoint::parse(&self.to, "Write tcp://HOST:PORT or ipc://PATH.")?;
        let (server, keys) = key_files::server_and_client(&self.server, &self.key)?;
        let settings = Settings {
            name: self.local.clone(),
            kind: self.kind,
            front: self.local.clone(),
            // With --local-uid, other users must be able to connect, so that the policy can decide about them.
            front_mode: Some(if self.local_uid.is_empty() { 0o600 } else { 0o666 }),
            role: Role::null_server(DOMAIN)?,
            service: Service::Curve { endpoint: self.to.clone(), keys, server },
            sender_frames: None,
            rights: TopicRights::default(),
            message_size: None,
            drain: self.process.drain()?,
        };
        gate::serve(&policy, &[settings], output, || Ok(()))?;
        Ok(Exit::Done)
    }

    /// The policy for connections to this end.
    fn policy(&self) -> Result<Authenticator, Failure> {
        let policy = Authenticator::new();
        let shown = escape::text(&self.local);
        match endpoint::parse(&self.local, "Write ipc://PATH, such as ipc:///run/app.sock.")? {
            (Transport::Ipc, _) => {
                let users = if self.local_uid.is_empty() { vec![getuid().as_raw()] } else { self.local_uid.clone() };
                policy.allow_ipc(users.into_iter().map(IpcRule::User));
            }
            (Transport::Tcp, address) => {
                if !gate::is_loopback(address) {
                    return Err(Failure::usage(format!("{shown}: not a loopback address"))
                        .hint("Everybody there would act with this key: use ipc://PATH."));
                }
                if !self.any_local_user_may_use_the_key {
                    return Err(Failure::usage(format!("{shown}: any local user could act with this key"))
                        .hint("Use ipc://PATH, or say that they may: --any-local-user-may-use-the-key."));
                }
                policy.allow(["127.0.0.0/8", "::1"])?;
            }
        }
        Ok(policy)
    }
}

/// The ZAP domain of this end. libzmq requires one.
const DOMAIN: &str = "tunnel";
