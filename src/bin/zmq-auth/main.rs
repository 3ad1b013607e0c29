//! `zmq-auth`: makes keys and passwords, checks policies and files, explains why a client is refused, and guards
//! services.

mod add;
mod bucket;
mod completions;
mod convert;
mod create_bucket;
mod directory;
mod endpoint;
mod escape;
mod explain;
mod export;
mod file;
mod gate;
mod import;
mod key_files;
mod key_input;
mod keygen;
mod lint;
mod listen;
mod ls;
mod matrix;
mod output;
mod passwd;
mod password;
mod ping;
mod policy;
mod pubkey;
mod revoke;
mod rotate;
mod show;
mod status;
mod terminal;
mod time;
mod tunnel;
mod validity;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use output::Output;

/// Manage keys, passwords and policies for guarded ZeroMQ sockets, and explain why a client is refused.
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
    Ping(ping::Ping),
    Lint(lint::Lint),
    Passwd(passwd::Passwd),
    Explain(explain::Explain),
    Add(add::Add),
    Revoke(revoke::Revoke),
    Rotate(rotate::Rotate),
    Ls(ls::Ls),
    Show(show::Show),
    Pubkey(pubkey::Pubkey),
    Convert(convert::Convert),
    CreateBucket(create_bucket::CreateBucket),
    Status(status::Status),
    Import(import::Import),
    Export(export::Export),
    Policy(policy::Policy),
    Listen(listen::Listen),
    Gate(gate::Gate),
    Tunnel(tunnel::Tunnel),
    Matrix(matrix::Matrix),
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    let CommandLine { output, command } = CommandLine::parse();
    let result = match command {
        Command::Keygen(command) => command.run(&output),
        Command::Ping(command) => command.run(&output),
        Command::Lint(command) => command.run(&output),
        Command::Passwd(command) => command.run(&output),
        Command::Explain(command) => command.run(&output),
        Command::Add(command) => command.run(&output),
        Command::Revoke(command) => command.run(&output),
        Command::Rotate(command) => command.run(&output),
        Command::Ls(command) => command.run(&output),
        Command::Show(command) => command.run(&output),
        Command::Pubkey(command) => command.run(&output),
        Command::Convert(command) => command.run(&output),
        Command::CreateBucket(command) => command.run(&output),
        Command::Status(command) => command.run(&output),
        Command::Import(command) => command.run(&output),
        Command::Export(command) => command.run(&output),
        Command::Policy(command) => command.run(&output),
        Command::Listen(command) => command.run(&output),
        Command::Gate(command) => command.run(&output),
        Command::Tunnel(command) => command.run(&output),
        Command::Matrix(command) => command.run(&output),
        Command::Completions(command) => command.run(CommandLine::command(), &output),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}
