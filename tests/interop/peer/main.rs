//! The peer of the cross-language tests: one end of a guarded connection. The command line says which, and it reports what
//! it saw in lines that a test can read. `tests/python/peer.py` is the same program in Python, with pyzmq.
//!
//! ```text
//! peer server --mechanism curve --endpoint tcp://127.0.0.1:* --domain lab --own server.key_secret --clients keys/
//! peer client --mechanism curve --endpoint tcp://127.0.0.1:5555 --own alice.key_secret --server server.key
//! peer certificates DIRECTORY NAME...
//! peer decide < SCRIPT
//! ```
//!
//! A server says `READY` with its endpoint, a client nothing before it is through; both say `HANDSHAKE` with what came of
//! it, the server then `REQUEST` and a `PROPERTY` for each thing that it knows of the sender, the client `REPLY` or
//! `NO-REPLY`. `DONE` comes last; a server waits for the end of its standard input before it. The log goes to standard
//! error, all of it.
//!
//! The password comes in the environment, as `PEER_PASSWORD`: others on the machine can read a command line.

mod arguments;
mod client;
mod decide;
mod journal;
mod outcome;
mod server;

use anyhow::{Context, Result, bail};
use arguments::{Arguments, USAGE};
use zmq_auth::create_certificates;

fn main() -> Result<()> {
    journal::keep()?;
    let mut words = std::env::args_os();
    words.next();
    let role = words.next().unwrap_or_else(|| "--help".into());
    match role.to_str() {
        Some("server") => server::run(&Arguments::read(words)?),
        Some("client") => client::run(&Arguments::read(words)?),
        Some("certificates") => {
            let directory = words.next().context("certificates: no directory was given")?;
            for name in words {
                let name = name.to_str().context("a certificate's name is UTF-8")?;
                create_certificates(&directory, name)?;
            }
            println!("DONE");
            Ok(())
        }
        Some("decide") => decide::run(std::io::stdin().lock(), std::io::stdout().lock()),
        Some("--help") => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("not understood: {role:?}\n{USAGE}"),
    }
}
