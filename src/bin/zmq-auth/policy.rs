//! `zmq-auth policy schema`: the JSON schema of policy files.

use zmq_auth::PolicyFile;

use crate::output::{Exit, Failure, Output};

/// Print the JSON schema of policy files
#[derive(clap::Args)]
#[command(after_help = "Example:\n  zmq-auth policy schema > policy.schema.json")]
pub(crate) struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print the JSON schema of policy files, for editors and checks
    #[command(after_help = "Example:\n  zmq-auth policy schema > policy.schema.json")]
    Schema,
}

impl Policy {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        match self.command {
            Command::Schema => {
                let schema = PolicyFile::json_schema();
                output.write(&schema, |out| writeln!(out, "{schema:#}"))?;
            }
        }
        Ok(Exit::Done)
    }
}
