//! A REQ client: one request, and its outcome.

use anyhow::{Context, Result, anyhow};
use zmq_auth::{Handshake, MonitoredSocket, SocketExt, load_certificate, zmq};

use crate::arguments::{Arguments, Mechanism};
use crate::outcome;

/// How long a client that was refused listens for a reply that must not come.
const LISTEN_MS: i64 = 100;

pub(crate) fn run(a: &Arguments) -> Result<()> {
    let context = zmq::Context::new();
    let mut socket = context.socket(zmq::REQ)?;
    match a.mechanism {
        Mechanism::Null => {}
        Mechanism::Plain => {
            let (user, password) = a.user()?;
            socket.plain_client(user, &password)?;
        }
        Mechanism::Curve => {
            let (server, _) = load_certificate(a.server()?)?;
            socket.curve_client(&a.own_keys()?, &server)?;
        }
    }
    let mut socket = MonitoredSocket::new(&context, socket)?;
    socket.set_identity(b"client-7")?;
    socket.set_linger(0)?;
    socket.connect(&a.endpoint)?;
    socket.send("hello", 0)?;

    let handshake = socket.wait_for_handshake(a.deadline)?.context("no handshake in time")?;
    println!("HANDSHAKE {}", outcome::words(handshake));
    let wait_ms = match handshake {
        Handshake::Authenticated => i64::try_from(a.deadline.as_millis())?,
        _ => LISTEN_MS,
    };
    if socket.poll(zmq::POLLIN, wait_ms)? > 0 {
        println!("REPLY {}", socket.recv_string(0)?.map_err(|_| anyhow!("the reply is no UTF-8"))?);
    } else {
        println!("NO-REPLY");
    }
    println!("DONE");
    Ok(())
}
