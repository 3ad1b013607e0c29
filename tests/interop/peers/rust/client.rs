//! A REQ client: one request, and what comes of it.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use serde::Deserialize;
use serde_json::json;
use zmq_auth::{Handshake, KeyPair, MonitoredSocket, PublicKey, SocketExt, zmq};

use crate::{needed, print, print_handshake};

#[derive(Deserialize)]
struct Case {
    mechanism: String,
    endpoint: String,
    own: Option<String>,
    server: Option<String>,
    user: Option<String>,
    password: Option<String>,
    timeout_ms: u64,
    quiet_ms: u64,
}

/// How long one look at the monitor takes before the socket is looked at again.
const LOOK: Duration = Duration::from_millis(5);

pub(crate) fn run(line: &str, _: &Receiver<String>) -> Result<()> {
    let case: Case = serde_json::from_str(line)?;
    let context = zmq::Context::new();
    let mut socket = context.socket(zmq::REQ)?;
    match &*case.mechanism {
        "null" => {}
        "plain" => socket.plain_client(needed(&case.user, "user")?, needed(&case.password, "password")?)?,
        "curve" => {
            let server = PublicKey::load(needed(&case.server, "server")?)?;
            socket.curve_client(&KeyPair::load(needed(&case.own, "own")?)?, &server)?;
        }
        other => bail!("no mechanism: {other:?}"),
    }
    let mut socket = MonitoredSocket::new(&context, socket)?;
    socket.set_linger(0)?;
    socket.connect(&case.endpoint)?;
    socket.send("hello", 0)?;

    let mut end = Instant::now() + Duration::from_millis(case.timeout_ms);
    let mut refusal = None;
    loop {
        if let Some(handshake) = socket.wait_for_handshake(LOOK)?
            && refusal.is_none()
        {
            print_handshake(handshake);
            refusal = match handshake {
                Handshake::Denied(_) => Some("denied"),
                Handshake::Failed(_) => Some("closed"),
                _ => None,
            };
            if refusal.is_some() {
                // A reply after a refusal must be seen.
                end = Instant::now() + Duration::from_millis(case.quiet_ms);
            }
        }
        if socket.poll(zmq::POLLIN, 0)? > 0 {
            let body = socket.recv_string(0)?.map_err(|_| anyhow!("the reply is no UTF-8"))?;
            print(&json!({"event": "reply", "body": body}));
            break;
        }
        if Instant::now() >= end {
            print(&json!({"event": "no-reply", "why": refusal.unwrap_or("timeout")}));
            break;
        }
    }
    // A reply can arrive before the event of its handshake.
    while refusal.is_none()
        && let Some(handshake) = socket.wait_for_handshake(Duration::ZERO)?
    {
        print_handshake(handshake);
    }
    Ok(())
}
