//! A bare `zmq_proxy`, libzmq's own proxy, with a handler of this crate in front.

use std::io::{Read, Write, stdin, stdout};
use std::path::Path;
use std::thread;

use anyhow::{Context as _, Result};
use zmq_auth::{KeyPair, SocketExt};

use super::place::{policy, server_certificate};
use super::{DOMAIN, Kind, Mechanism, io_threads};

/// The argument that makes this program the proxy.
pub(crate) const SERVE: &str = "proxy";

pub(crate) fn run(kind: &str, mechanism: &str, directory: &str) -> Result<()> {
    let (kind, mechanism) = (Kind::named(kind).context("a kind")?, Mechanism::named(mechanism).context("a mechanism")?);
    let directory = Path::new(directory);
    let mut lines = stdin().lines();
    let back_endpoint = lines.next().context("the service's endpoint")??;
    thread::spawn(|| {
        let _ = stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let context = zmq::Context::new();
    context.set_io_threads(io_threads())?;
    let _running = policy(directory)?.start(&context)?;
    let (front, back) = match kind {
        Kind::Reply => (zmq::ROUTER, zmq::DEALER),
        Kind::Publish => (zmq::XPUB, zmq::XSUB),
        Kind::Collect => (zmq::PULL, zmq::PUSH),
    };
    let (mut front, back) = (context.socket(front)?, context.socket(back)?);
    guard(&mut front, mechanism, directory)?;
    front.bind("tcp://127.0.0.1:*")?;
    back.connect(&back_endpoint)?;
    println!("{}", front.endpoint()?);
    stdout().flush()?;
    zmq::proxy(&front, &back)?;
    Ok(())
}

/// Makes the socket a server whose clients the handler decides about.
pub(crate) fn guard(socket: &mut zmq::Socket, mechanism: Mechanism, directory: &Path) -> Result<()> {
    match mechanism {
        Mechanism::Curve => socket.curve_server(&KeyPair::load(server_certificate(directory))?, DOMAIN)?,
        Mechanism::Null => socket.null_server(DOMAIN)?,
    }
    Ok(())
}
