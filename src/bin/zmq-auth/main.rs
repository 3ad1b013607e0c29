//! `zmq-auth`: makes keys and passwords, checks policies and files, and says why a client is refused.

mod completions;
mod escape;
mod file;
mod lint;
mod output;
mod password;
mod ping;
mod time;

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
    Ping(ping::Ping),
    Lint(lint::Lint),
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    let CommandLine { output, command } = CommandLine::parse();
    let result = match command {
        Command::Ping(command) => command.run(&output),
        Command::Lint(command) => command.run(&output),
        Command::Completions(command) => command.run(CommandLine::command(), &output),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}
