//! The `[[gate]]` tables of a policy file.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use super::relay::Kind;
use crate::file;

/// What `zmq-auth gate` serves with this policy.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GateTable {
    /// The gate's name in lines and metrics; without it, its front.
    pub(super) name: Option<String>,
    /// Where clients connect to: "tcp://ADDRESS:PORT" or "ipc://PATH".
    pub(super) front: String,
    /// The service, which has no security of its own: "ipc://PATH", or a TCP port of this machine.
    pub(super) back: String,
    /// "reply", "publish" or "collect".
    pub(super) kind: Kind,
    /// The ZAP domain, whose tables decide.
    pub(super) domain: String,
    /// CURVE: the server's secret certificate; relative to this file.
    pub(super) key: Option<std::path::PathBuf>,
    /// PLAIN clients. Names and passwords cross the network in clear text.
    #[serde(default)]
    pub(super) plain: bool,
    /// NULL clients, by their addresses alone.
    #[serde(default)]
    pub(super) null: bool,
    /// Tells the service in a frame who sent each message.
    #[serde(default)]
    pub(super) sender_frame: bool,
    /// Metadata of clients to put into that frame.
    #[serde(default)]
    pub(super) sender_metadata: Vec<String>,
    /// The number of the user that the service runs as, where it isn't the gate's.
    pub(super) back_uid: Option<u32>,
    /// Needed for a service at a TCP port.
    #[serde(default)]
    pub(super) any_local_user_may_reach_the_service: bool,
    /// Who may subscribe to what, where not everybody may to all. An empty list allows nobody anything.
    pub(super) allow: Option<Vec<AllowTable>>,
}

/// The right to subscribe to everything that begins with one of the topics.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowTable {
    /// A user id; without it, everybody.
    pub(super) user: Option<String>,
    /// Beginnings of topics.
    pub(super) topics: Vec<String>,
}

/// The `[[gate]]` tables of a file. The rest of the file is the policy, and isn't read here.
#[derive(Deserialize)]
struct Tables {
    #[serde(default)]
    gate: Vec<Spanned<toml::Table>>,
}

/// The problem of a table, and the table's line.
pub(crate) struct TableProblem {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// The tables of a policy file, each with its line. An invalid policy file has none: reading the policy reports why.
pub(crate) fn read(path: &Path) -> Result<Vec<(usize, GateTable)>, TableProblem> {
    const MAX_FILE: u64 = 16 * 1024 * 1024;
    let Ok(bytes) = file::read_regular(path, MAX_FILE) else { return Ok(Vec::new()) };
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let Ok(tables) = toml::from_str::<Tables>(text) else { return Ok(Vec::new()) };
    let parse = |table: Spanned<toml::Table>| {
        let before = text.get(..table.span().start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        match table.into_inner().try_into::<GateTable>() {
            Ok(table) => Ok((line, table)),
            Err(error) => {
                let place = "in the table [[gate]] that begins here";
                Err(TableProblem { line, text: format!("{place}: {}", error.message()) })
            }
        }
    };
    tables.gate.into_iter().map(parse).collect()
}
