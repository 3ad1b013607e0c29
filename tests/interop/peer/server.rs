//! A REP server: sees its handshakes through, answers one request after each that succeeded.

use std::io::Read;

use anyhow::{Context, Result, anyhow};
use zmq_auth::{Authenticator, Handshake, MonitoredSocket, Sender, SocketExt, zmq};

use crate::arguments::{Arguments, Mechanism};
use crate::outcome;

/// What libzmq keeps with a message from a client.
const PROPERTIES: [&str; 4] = ["User-Id", "Peer-Address", "Socket-Type", "Identity"];

pub(crate) fn run(a: &Arguments) -> Result<()> {
    let context = zmq::Context::new();
    let _running = policy(a)?.start(&context)?;

    let mut socket = context.socket(zmq::REP)?;
    match a.mechanism {
        Mechanism::Null => socket.null_server(&a.domain)?,
        Mechanism::Plain => socket.plain_server(&a.domain)?,
        Mechanism::Curve => socket.curve_server(&a.own_keys()?, &a.domain)?,
    }
    let mut socket = MonitoredSocket::new(&context, socket)?;
    let deadline_ms = i32::try_from(a.deadline.as_millis())?;
    socket.set_rcvtimeo(deadline_ms)?;
    socket.set_sndtimeo(deadline_ms)?;
    socket.set_linger(0)?;
    socket.bind(&a.endpoint)?;
    println!("READY {}", socket.get_last_endpoint()?.map_err(|_| anyhow!("the endpoint is no UTF-8"))?);

    for _ in 0..a.handshakes {
        let handshake = socket.wait_for_handshake(a.deadline)?.context("no client came in time")?;
        println!("HANDSHAKE {}", outcome::words(handshake));
        if handshake == Handshake::Authenticated {
            answer(&socket, a, 0)?;
        }
    }

    // The client has to hear the last word, and whatever it sent in spite of it has to arrive, before this ends.
    std::io::stdin().read_to_end(&mut vec![])?;
    while socket.poll(zmq::POLLIN, 0)? > 0 {
        answer(&socket, a, zmq::DONTWAIT)?;
    }
    println!("DONE");
    Ok(())
}

fn policy(a: &Arguments) -> Result<Authenticator> {
    let auth = Authenticator::new();
    auth.allow(&a.allow)?;
    auth.deny(&a.deny)?;
    auth.set_ipc(a.allow_ipc.clone(), a.deny_ipc.clone());
    match a.mechanism {
        Mechanism::Null => {}
        Mechanism::Plain => auth.configure_plain(&a.domain, [a.user()?])?,
        Mechanism::Curve => auth.configure_curve(&a.domain, a.clients()?)?,
    }
    if let Some(name) = a.user_id.clone() {
        auth.curve_user_id(move |_| name.clone());
    }
    Ok(auth)
}

fn answer(socket: &zmq::Socket, a: &Arguments, flags: i32) -> Result<()> {
    let request = socket.recv_msg(flags).context("no request came in time")?;
    println!("REQUEST {}", request.as_str().unwrap_or("(no UTF-8)"));
    let sender = Sender::of(&request);
    for name in PROPERTIES.into_iter().chain(a.properties.iter().map(String::as_str)) {
        match sender.property(name) {
            Some(value) => println!("PROPERTY {name}={value}"),
            None => println!("PROPERTY {name}"),
        }
    }
    socket.send(&format!("welcome {}", sender.user_id().unwrap_or("-")), 0)?;
    Ok(())
}
