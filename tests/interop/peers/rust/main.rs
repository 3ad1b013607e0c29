//! This crate as a peer of `zmq-auth matrix`: reads cases from standard input, runs each, and prints what happens.
//!
//! ```text
//! zmq-auth-peer server | client
//! zmq-auth-peer make-certificate DIRECTORY NAME KEY=VALUE...
//! zmq-auth-peer read-certificate FILE
//! ```

mod certificate;
mod client;
mod server;

use std::io::BufRead;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use zmq_auth::Handshake;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["server"] => each_case(server::run),
        ["client"] => each_case(client::run),
        ["make-certificate", directory, name, ref metadata @ ..] => certificate::make(directory, name, metadata),
        ["read-certificate", file] => certificate::read(file),
        _ => bail!("usage: zmq-auth-peer server | client | make-certificate … | read-certificate FILE"),
    }
}

/// Runs the cases that come on standard input, one after the other, until its end.
fn each_case(run: fn(&str, &Receiver<String>) -> Result<()>) -> Result<()> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    while let Ok(line) = lines.recv() {
        if let Err(error) = run(&line, &lines) {
            print(&json!({"event": "error", "what": format!("{error:#}")}));
        }
        print(&json!({"event": "done"}));
    }
    Ok(())
}

fn print(event: &Value) {
    println!("{event}");
}

fn print_handshake(handshake: Handshake) {
    let (outcome, code) = match handshake {
        Handshake::Authenticated => ("succeeded", None),
        Handshake::Denied(code) => ("denied", Some(code)),
        Handshake::Unreachable => return,
        _ => ("failed", None),
    };
    print(&json!({"event": "handshake", "outcome": outcome, "code": code}));
}

/// A field that the mechanism can't do without.
fn needed<'a, T>(field: &'a Option<T>, name: &str) -> Result<&'a T> {
    field.as_ref().with_context(|| format!("the case has no {name:?}"))
}
