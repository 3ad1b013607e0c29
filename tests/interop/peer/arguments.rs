//! The command line of a server or client.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use zmq_auth::zeroize::Zeroizing;
use zmq_auth::{IpcRule, KeyPair, load_certificate};

pub(crate) const USAGE: &str = "\
peer server | client | certificates DIRECTORY NAME... | decide

both ends:
  --mechanism null|plain|curve
  --endpoint ENDPOINT       where to bind or connect; a server may leave the port to the system: tcp://127.0.0.1:*
  --user NAME               plain: the user; the password is taken from PEER_PASSWORD in the environment
  --own FILE                curve: its own certificate, with the secret key
  --deadline SECONDS        how long to wait for anything (default 30)
server:
  --domain DOMAIN           default: test
  --clients DIRECTORY|*     curve: the clients' certificates, or any client
  --user-id NAME            curve: call every client by this name
  --allow, --deny RULE      addresses and subnets, as often as needed
  --allow-ipc, --deny-ipc UID|any
  --property NAME           one more message property to print, as often as needed
  --handshakes COUNT        how many to see through (default 1)
client:
  --server FILE             curve: the server's certificate";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Mechanism {
    Null,
    Plain,
    Curve,
}

pub(crate) struct Arguments {
    pub(crate) mechanism: Mechanism,
    pub(crate) endpoint: String,
    pub(crate) deadline: Duration,
    pub(crate) domain: String,
    pub(crate) allow: Vec<String>,
    pub(crate) deny: Vec<String>,
    pub(crate) allow_ipc: Vec<IpcRule>,
    pub(crate) deny_ipc: Vec<IpcRule>,
    pub(crate) user_id: Option<String>,
    pub(crate) properties: Vec<String>,
    pub(crate) handshakes: usize,
    user: Option<String>,
    own: Option<PathBuf>,
    clients: Option<PathBuf>,
    server: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn read(words: impl Iterator<Item = OsString>) -> Result<Self> {
        let (mut mechanism, mut endpoint) = (None, None);
        let mut a = Arguments {
            mechanism: Mechanism::Null,
            endpoint: String::new(),
            deadline: Duration::from_secs(30),
            domain: "test".into(),
            allow: vec![],
            deny: vec![],
            allow_ipc: vec![],
            deny_ipc: vec![],
            user_id: None,
            properties: vec![],
            handshakes: 1,
            user: None,
            own: None,
            clients: None,
            server: None,
        };
        let mut parser = Parser::from_args(words);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("mechanism") => mechanism = Some(parser.value()?.parse_with(mechanism_named)?),
                Arg::Long("endpoint") => endpoint = Some(parser.value()?.string()?),
                Arg::Long("deadline") => a.deadline = Duration::from_secs(parser.value()?.parse()?),
                Arg::Long("domain") => a.domain = parser.value()?.string()?,
                Arg::Long("allow") => a.allow.push(parser.value()?.string()?),
                Arg::Long("deny") => a.deny.push(parser.value()?.string()?),
                Arg::Long("allow-ipc") => a.allow_ipc.push(parser.value()?.parse_with(ipc_rule)?),
                Arg::Long("deny-ipc") => a.deny_ipc.push(parser.value()?.parse_with(ipc_rule)?),
                Arg::Long("user-id") => a.user_id = Some(parser.value()?.string()?),
                Arg::Long("property") => a.properties.push(parser.value()?.string()?),
                Arg::Long("handshakes") => a.handshakes = parser.value()?.parse()?,
                Arg::Long("user") => a.user = Some(parser.value()?.string()?),
                Arg::Long("own") => a.own = Some(parser.value()?.into()),
                Arg::Long("clients") => a.clients = Some(parser.value()?.into()),
                Arg::Long("server") => a.server = Some(parser.value()?.into()),
                other => bail!("{}\n{USAGE}", other.unexpected()),
            }
        }
        a.mechanism = mechanism.context("--mechanism is missing")?;
        a.endpoint = endpoint.context("--endpoint is missing")?;
        Ok(a)
    }

    pub(crate) fn user(&self) -> Result<(&str, Zeroizing<String>)> {
        let password = std::env::var("PEER_PASSWORD").context("PEER_PASSWORD is not in the environment")?;
        Ok((self.user.as_deref().context("--user is missing")?, Zeroizing::new(password)))
    }

    pub(crate) fn own_keys(&self) -> Result<KeyPair> {
        let file = self.own.as_deref().context("--own is missing")?;
        let (public, secret) = load_certificate(file)?;
        Ok(KeyPair { public, secret: secret.context("the certificate of --own has no secret key")? })
    }

    pub(crate) fn clients(&self) -> Result<&PathBuf> {
        self.clients.as_ref().context("--clients is missing")
    }

    pub(crate) fn server(&self) -> Result<&PathBuf> {
        self.server.as_ref().context("--server is missing")
    }
}

fn mechanism_named(name: &str) -> Result<Mechanism> {
    match name {
        "null" => Ok(Mechanism::Null),
        "plain" => Ok(Mechanism::Plain),
        "curve" => Ok(Mechanism::Curve),
        _ => bail!("no mechanism: {name}"),
    }
}

fn ipc_rule(text: &str) -> Result<IpcRule> {
    match text {
        "any" => Ok(IpcRule::Any),
        uid => Ok(IpcRule::User(uid.parse().context("neither a user id nor \"any\"")?)),
    }
}
