//! `zmq-auth`: makes keys and passwords, checks policies and files, and says why a client is refused.

mod completions;
mod directory;
mod escape;
mod file;
mod keygen;
mod output;
mod passwd;
mod password;
mod time;
mod validity;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use output::Output;

/// Keys, passwords and policies of guarded ZeroMQ sockets, and why a client is refused.
#[derive(Parser)]
#[command(name = "zmq-auth", version, arg_required_else_help = true, after_help = output::EXIT_CODES)]
struct CommandLine {
    #[command(flatten)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Keygen(keygen::Keygen),
    Passwd(passwd::Passwd),
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    let CommandLine { output, command } = CommandLine::parse();
    let result = match command {
        Command::Keygen(command) => command.run(&output),
        Command::Passwd(command) => command.run(&output),
        Command::Completions(command) => command.run(CommandLine::command(), &output),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}
