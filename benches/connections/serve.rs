//! The program of a server's process, started by `server.rs`.

use std::io::{Read, Write, stdin, stdout};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result};
use zmq_auth::{Authenticator, Certificate, KeyPair, SocketExt};

use super::contestants::Contestant;
use super::server::{ENDPOINT, clients, server_certificate};
use super::{DOMAIN, czmq, floor};

pub(crate) fn run(contestant: &str, directory: &str) -> Result<()> {
    let contestant = Contestant::named(contestant).context("one of the contestants")?;
    let directory = Path::new(directory);
    thread::spawn(|| {
        let _ = stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let certificate = Certificate::load(server_certificate(directory))?;
    let keys = certificate.key_pair().context("a server has a secret key")?;
    let context = zmq::Context::new();
    context.set_io_threads(contestant.io_threads())?;
    match contestant {
        Contestant::NoZap => echo(&context, keys, "", contestant.backlog()),
        Contestant::Floor => {
            let _serving = floor::start(&context)?;
            echo(&context, keys, DOMAIN, contestant.backlog())
        }
        Contestant::Thread
        | Contestant::TwoIoThreads
        | Contestant::FourIoThreads
        | Contestant::Backlog100
        | Contestant::NotReused
        | Contestant::System => {
            let _running = policy(directory)?.start(&context)?;
            echo(&context, keys, DOMAIN, contestant.backlog())
        }
        Contestant::Tokio => {
            let runtime = tokio::runtime::Runtime::new()?;
            let _running = runtime.block_on(policy(directory)?.start_async(&context))?;
            echo(&context, keys, DOMAIN, contestant.backlog())
        }
        Contestant::Czmq => czmq::serve(keys, &clients(directory)),
        Contestant::Pyzmq | Contestant::Omq => anyhow::bail!("a program of its own"),
    }
}

/// The endpoint to bind: any free port, unless the parent sets one.
pub(crate) fn endpoint() -> String {
    std::env::var(ENDPOINT).unwrap_or_else(|_| "tcp://127.0.0.1:*".into())
}

/// Tells the parent the server's endpoint.
pub(crate) fn announce(endpoint: &str) -> Result<()> {
    println!("{endpoint}");
    Ok(stdout().flush()?)
}

fn policy(directory: &Path) -> Result<Authenticator> {
    let authenticator = Authenticator::new();
    authenticator.configure_curve(DOMAIN, clients(directory))?;
    Ok(authenticator)
}

/// Echoes every message. Without a domain, no handler is asked.
fn echo(context: &zmq::Context, keys: &KeyPair, domain: &str, backlog: i32) -> Result<()> {
    let mut socket = context.socket(zmq::ROUTER)?;
    if domain.is_empty() {
        socket.set_curve_server(true)?;
        socket.set_curve_secretkey(keys.secret.as_bytes())?;
    } else {
        socket.curve_server(keys, domain)?;
    }
    socket.set_linger(0)?;
    socket.set_backlog(backlog)?;
    socket.bind(&endpoint())?;
    announce(&socket.get_last_endpoint()?.expect("text"))?;
    loop {
        let client = socket.recv_msg(0)?;
        let message = socket.recv_msg(0)?;
        socket.send(client, zmq::SNDMORE)?;
        // The client may have left already.
        socket.send(message, 0)?;
    }
}
