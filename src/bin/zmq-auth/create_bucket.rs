//! `zmq-auth create-bucket`: creates a NATS bucket for the credentials of a fleet.

use clap::Args;
use serde::Serialize;

use crate::bucket::{NatsOptions, failure};
use crate::escape;
use crate::output::{Exit, Failure, Output};

/// Make a bucket of NATS for the keys and users of a fleet of servers
///
/// Where there is one with the same configuration, nothing is changed.
#[derive(Args)]
#[command(after_help = "Example:\n  \
        zmq-auth create-bucket --nats nats://10.0.0.1 --bucket clients --login admin.login --replicas 3")]
pub(crate) struct CreateBucket {
    /// On how many NATS servers it is: 1 for a single one, 3 or 5 in a cluster
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
            return Err(Failure::usage(format!("{} replicas are no better than one less", self.replicas))
                .hint("Take 1, 3 or 5: more than half of them must be there for a change."));
        }
        self.nats.bucket()?.create(self.replicas.into()).map_err(|error| match error {
            zmq_auth::Error::Nats { action: "make the bucket", .. } => Failure::from(error).hint(
                "A cluster needs as many servers as replicas; a single server takes --replicas 1. A cluster that has just \
                 started is asked again in a moment.",
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
