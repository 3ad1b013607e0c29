//! `zmq-auth completions`: scripts for shell completion.

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::output::{Exit, Failure, Output};

/// Print a script for the shell's completion of this program's commands
#[derive(Args)]
#[command(after_help = "Example:\n  zmq-auth completions bash > ~/.local/share/bash-completion/completions/zmq-auth")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, mut command_line: Command, output: &Output) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut command_line, "zmq-auth", &mut script);
        output.write(&String::from_utf8_lossy(&script), |out| out.write_all(&script))?;
        Ok(Exit::Done)
    }
}
