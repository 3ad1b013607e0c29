//! `zmq-auth policy schema`: the JSON schema of policy files.

use schemars::generate::SchemaSettings;
use zmq_auth::PolicyFile;

use crate::gate::GateTable;
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
    /// Print the JSON schema of policy files, for editors and validators
    #[command(after_help = "Example:\n  zmq-auth policy schema > policy.schema.json")]
    Schema,
}

impl Policy {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        match self.command {
            Command::Schema => {
                let mut schema = PolicyFile::json_schema();
                // The library ignores this table; the program reads it.
                schema["properties"]["gate"]["items"] = gate_schema();
                output.write(&schema, |out| writeln!(out, "{schema:#}"))?;
            }
        }
        Ok(Exit::Done)
    }
}

/// The schema of a gate, without references, which would be relative to the whole document.
fn gate_schema() -> serde_json::Value {
    let settings = SchemaSettings::default().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<GateTable>().to_value()
}
