//! `zmq-auth create-bucket`: creates a NATS bucket for the credentials of a fleet.

use clap::Args;
use serde::Serialize;

use crate::bucket::{NatsOptions, failure};
use crate::escape;
use crate::output::{Exit, Failure, Output};

/// Create a NATS bucket for the keys and users of a fleet of servers
///
/// If it exists with the same configuration, nothing is changed.
#[derive(Args)]
#[command(after_help = "Example:\n  \
        zmq-auth create-bucket --nats nats://10.0.0.1 --bucket clients --login admin.login --replicas 3")]
pub(crate) struct CreateBucket {
    /// The number of NATS servers that store it: 1 for a single server, 3 or 5 in a cluster
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    #[command(flatten)]
    nats: NatsOptions,
}

#[derive(Serialize)]
struct Created<'n> {
    bucket: &'n str,
    replicas: u8,
}

impl CreateBucket {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        if self.replicas.is_multiple_of(2) {
            return Err(Failure::usage("an even number of replicas survives no more failures than one less")
                .hint("Use 1, 3 or 5: a change needs more than half of them."));
        }
        self.nats.bucket()?.create(self.replicas.into()).map_err(|error| match error {
            zmq_auth::Error::Nats { action: "make the bucket", .. } => Failure::from(error).hint(
                "A cluster needs as many servers as replicas; for a single server: --replicas 1. If the cluster has just \
                 started, try again in a moment.",
            ),
            error => failure(error),
        })?;
        let created = Created { bucket: self.nats.name(), replicas: self.replicas };
        output.write(&created, |out| {
            writeln!(out, "{}: a bucket with {} replicas", escape::text(created.bucket), created.replicas)?;
            writeln!(out, "Next: zmq-auth add {} --domain DOMAIN FILE", self.nats.options())
        })?;
        Ok(Exit::Done)
    }
}
