//! A REP server with an authenticator, which serves until the case's end.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use zmq_auth::{Authenticator, KeyPair, MonitoredSocket, NullAccess, Sender, SocketExt, Verdict, zmq};

use crate::{needed, print, print_handshake};

#[derive(Deserialize)]
struct Case {
    mechanism: String,
    endpoint: String,
    domain: String,
    own: Option<String>,
    clients: Option<String>,
    users: Option<BTreeMap<String, String>>,
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    deny: Vec<String>,
    /// Whether each client is answered 300.
    #[serde(default)]
    put_off: bool,
}

pub(crate) fn run(line: &str, lines: &Receiver<String>) -> Result<()> {
    let case: Case = serde_json::from_str(line)?;
    let auth = policy(&case)?;
    let context = zmq::Context::new();
    let _running = auth.start(&context)?;
    let mut socket = context.socket(zmq::REP)?;
    match &*case.mechanism {
        "null" => socket.null_server(&case.domain)?,
        "plain" => socket.plain_server(&case.domain)?,
        "curve" => socket.curve_server(&KeyPair::load(needed(&case.own, "own")?)?, &case.domain)?,
        other => bail!("no mechanism: {other:?}"),
    }
    let mut socket = MonitoredSocket::new(&context, socket)?;
    socket.set_linger(0)?;
    socket.set_sndtimeo(1_000)?;
    socket.bind(&case.endpoint)?;
    let endpoint = socket.get_last_endpoint()?.map_err(|_| anyhow!("the endpoint is no UTF-8"))?;
    print(&json!({"event": "ready", "endpoint": endpoint}));

    loop {
        // Report what happened before the line arrived before acting on it.
        let line = lines.try_recv();
        tell(&mut socket, Duration::from_millis(5))?;
        match line {
            Ok(line) if serve_line(&line, &auth, &case)? => return Ok(()),
            Err(TryRecvError::Disconnected) => return Ok(()),
            Ok(_) | Err(TryRecvError::Empty) => {}
        }
    }
}

/// Tells of the handshakes that have ended, and answers the requests that have come.
fn tell(socket: &mut MonitoredSocket, wait: Duration) -> Result<()> {
    while let Some(handshake) = socket.wait_for_handshake(Duration::ZERO)? {
        print_handshake(handshake);
    }
    let mut wait = i64::try_from(wait.as_millis())?;
    while socket.poll(zmq::POLLIN, wait)? > 0 {
        answer(socket)?;
        wait = 0;
    }
    Ok(())
}

/// Does what a line asks for while the case runs; true for its end.
fn serve_line(line: &str, auth: &Authenticator, case: &Case) -> Result<bool> {
    let line: Value = serde_json::from_str(line)?;
    if line.get("end").is_some() {
        return Ok(true);
    }
    if line.get("revoke").is_some() || line.get("reload").is_some() {
        auth.configure_curve(&case.domain, needed(&case.clients, "clients")?)?;
        print(&json!({"event": "reloaded"}));
        return Ok(false);
    }
    bail!("not understood: {line}")
}

fn policy(case: &Case) -> Result<Authenticator> {
    let auth = Authenticator::new();
    auth.allow(&case.allow)?;
    auth.deny(&case.deny)?;
    match &*case.mechanism {
        "null" if case.put_off => auth.configure_null_callback(&case.domain, |_| Verdict::Retry)?,
        "null" => auth.configure_null(&case.domain, NullAccess::Allow)?,
        "plain" if case.put_off => auth.configure_plain_callback(&case.domain, |_, _, _| Verdict::Retry)?,
        "plain" => {
            let users = needed(&case.users, "users")?.iter();
            auth.configure_plain(&case.domain, users.map(|(name, password)| (name.as_str(), password.as_str())))?;
        }
        "curve" if case.put_off => auth.configure_curve_callback(&case.domain, |_, _| Verdict::Retry)?,
        _ => auth.configure_curve(&case.domain, needed(&case.clients, "clients")?)?,
    }
    Ok(auth)
}

fn answer(socket: &zmq::Socket) -> Result<()> {
    let request = socket.recv_msg(0)?;
    let sender = Sender::of(&request);
    let body = request.as_str().unwrap_or("(no UTF-8)");
    print(&json!({"event": "request", "body": body, "user_id": sender.user_id(), "address": sender.address()}));
    socket.send("world", 0)?;
    Ok(())
}
