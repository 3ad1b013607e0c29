//! `zmq-auth status`: lists the servers that follow a NATS bucket, and how far behind they are.

use std::time::Duration;

use anstyle::AnsiColor;
use clap::Args;
use jiff::SignedDuration;
use serde::Serialize;
use zmq_auth::FollowingServer;

use crate::bucket::{BucketOptions, Place, failure};
use crate::output::{Exit, Failure, Output, note};
use crate::{escape, time};

/// A server whose last heartbeat is older than this counts as out of contact, unless `--stale-after` is given.
pub(crate) const SILENT: Duration = Duration::from_secs(10);

/// List the servers that follow a NATS bucket, and how far behind they are
///
/// A server writes a heartbeat once a second. Without contact, it uses the keys and users that it has for its max_age, and
/// then accepts nobody.
#[derive(Args)]
#[command(after_help = "Example:\n  \
        zmq-auth status --nats nats://10.0.0.1 --bucket clients --domain lab --login admin.login --expect server-1\n\n\
        Exit codes: 0 all are in contact; 1 some server isn't, or an expected one has never written a heartbeat.")]
pub(crate) struct Status {
    /// The age from which a heartbeat is too old; default: 10s
    #[arg(long, value_name = "TIME", value_parser = time::span)]
    stale_after: Option<SignedDuration>,
    /// A server that must be following; may be repeated
    #[arg(long, value_name = "SERVER")]
    expect: Vec<String>,
    /// Remove the heartbeats of a server that is gone for good; may be repeated
    #[arg(long, value_name = "SERVER", conflicts_with = "expect")]
    forget: Vec<String>,
    #[command(flatten)]
    bucket: BucketOptions,
}

#[derive(Serialize)]
struct Listing {
    #[serde(flatten)]
    place: Place,
    servers: Vec<Server>,
    /// The expected servers that have never written a heartbeat.
    missing: Vec<String>,
}

#[derive(Serialize)]
struct Server {
    name: String,
    /// Seconds since its last heartbeat.
    age: f64,
    /// Whether its last proof of contact is too old, or there is none yet.
    is_stale: bool,
    /// The revision of the last entry that it had applied.
    revision: u64,
    /// How many keys and users have changed since.
    behind: u64,
    keys: usize,
    users: usize,
}

impl Status {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let stale_after = self.stale_after.map_or(SILENT, |time| Duration::try_from(time).unwrap_or_default());
        let bucket = self.bucket.open()?;
        for server in &self.forget {
            if !bucket.writer.forget_server(&bucket.domain, server).map_err(failure)? {
                return Err(bucket.no_such(&format!("server {}", escape::text(server))));
            }
        }
        let servers = bucket.writer.servers(&bucket.domain).map_err(failure)?;
        let mut servers: Vec<_> = servers.into_iter().map(|server| Server::new(server, stale_after)).collect();
        servers.sort_by(|one, other| one.name.cmp(&other.name));
        let mut missing = self.expect;
        missing.retain(|name| servers.iter().all(|server| server.name != *name));
        let listing = Listing { place: bucket.place(), servers, missing };
        let width = listing.servers.iter().map(|server| server.name.chars().count()).max().unwrap_or(0).min(40);
        output.write(&listing, |out| {
            listing.servers.iter().try_for_each(|server| server.write(out, width))?;
            let mut missing = listing.missing.iter();
            missing.try_for_each(|name| writeln!(out, "{:width$}  has never written a heartbeat", escape::text(name)))
        })?;
        if listing.servers.is_empty() {
            note(format_args!("no server follows {}", bucket.words()));
        }
        let is_well = listing.missing.is_empty() && listing.servers.iter().all(|server| !server.is_stale);
        Ok(if is_well { Exit::Done } else { Exit::Found })
    }
}

impl Server {
    fn new(server: FollowingServer, stale_after: Duration) -> Self {
        Server {
            age: server.age.as_secs_f64(),
            // A heartbeat alone proves nothing.
            is_stale: server.contact.is_none_or(|contact| contact > stale_after),
            revision: server.sequence,
            behind: server.behind,
            keys: server.keys,
            users: server.users,
            name: server.name,
        }
    }

    fn write(&self, out: &mut dyn std::io::Write, width: usize) -> std::io::Result<()> {
        let red = AnsiColor::Red.on_default();
        let behind = match self.behind {
            0 => "up to date".to_owned(),
            1 => "1 change behind".to_owned(),
            count => format!("{count} changes behind"),
        };
        let last = ago(Duration::from_secs_f64(self.age));
        let (keys, users) = (self.keys, self.users);
        write!(
            out,
            "{:width$}  last heartbeat {last}, {behind}, {keys} keys, {users} users",
            escape::text(&self.name)
        )?;
        if self.is_stale {
            write!(out, "  {red}no contact{red:#}")?;
        }
        writeln!(out)
    }
}

/// For people.
pub(crate) fn ago(age: Duration) -> String {
    match age.as_secs() {
        0..60 => format!("{:.1} s ago", age.as_secs_f64()),
        60..3600 => format!("{} min ago", age.as_secs() / 60),
        3600..86_400 => format!("{} h ago", age.as_secs() / 3600),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}
