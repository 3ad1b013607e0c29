//! A peer on omq-tokio: ZMTP, PLAIN and CURVE in Rust alone. A callback decides, where libzmq asks ZAP.

use std::collections::HashSet;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use omq_tokio::{
    AuthenticationResult, Authenticator, CurveKeypair, CurvePublicKey, CurveSecretKey, CurveServerOptions, Endpoint,
    MechanismPeerInfo, MechanismSetup, Message, MonitorEvent, MonitorStream, Options, Socket, SocketType,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::time::{Instant, sleep_until};

type Failure = Box<dyn std::error::Error>;
type Input = Lines<BufReader<Stdin>>;

fn key(file: &str, name: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let keys = text.split_once("\ncurve").ok_or("no section 'curve'")?.1;
    let mut lines = keys.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
    Ok(value.ok_or("no such key")?.trim().trim_matches('"').into())
}

fn pair(file: &str) -> Result<CurveKeypair, Failure> {
    let secret = CurveSecretKey::from_z85(&key(file, "secret-key")?)?;
    Ok(CurveKeypair { public: secret.derive_public(), secret })
}

fn accepted(directory: &str) -> Result<HashSet<String>, Failure> {
    let files = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path().display().to_string()));
    let files = files.collect::<Result<Vec<_>, std::io::Error>>()?;
    files.iter().filter(|file| file.ends_with(".key")).map(|file| key(file, "public-key")).collect()
}

/// Prints what an event says about a handshake; the answer is why it ended badly.
fn handshake(event: &MonitorEvent) -> Option<&'static str> {
    let (outcome, code, why) = match event {
        MonitorEvent::HandshakeSucceeded { .. } => ("succeeded", None, None),
        // A refusal's status stands at the end of its text alone: "CURVE peer sent ERROR: 400".
        MonitorEvent::HandshakeFailed { reason, .. } => {
            match reason.rsplit(' ').next().and_then(|word| word.parse().ok()) {
                Some(code) => ("denied", Some::<u16>(code), Some("denied")),
                None => ("failed", None, Some("closed")),
            }
        }
        _ => return None,
    };
    eprintln!("{event:?}");
    println!("{}", json!({"event": "handshake", "outcome": outcome, "code": code}));
    why
}

fn user(test: &Value, keys: &RwLock<HashSet<String>>, peer: &MechanismPeerInfo) -> Option<String> {
    // The IP alone, with no port; absent on ipc.
    let address = peer.peer_address.as_deref();
    let lists = |name: &str| Some(test[name].as_array()?.iter().any(|entry| entry.as_str() == address));
    if lists("deny") == Some(true) || lists("allow") == Some(false) {
        return None;
    }
    if let Some(name) = &peer.username {
        return (test["users"][name] == *peer.password.as_ref()?).then(|| name.clone());
    }
    if test["mechanism"] == "null" {
        return Some(String::new());
    }
    let key = CurvePublicKey::from_bytes(peer.public_key).to_z85();
    keys.read().unwrap().contains(&key).then_some(key)
}

async fn server(test: &Value, input: &mut Input) -> Result<(), Failure> {
    let keys = || if test["mechanism"] == "curve" { accepted(text(test, "clients")?) } else { Ok(HashSet::new()) };
    let known = Arc::new(RwLock::new(keys()?));
    let authenticator = Authenticator::new_with_result({
        let (test, known) = (test.clone(), known.clone());
        move |peer| match user(&test, &known, peer) {
            Some(name) => AuthenticationResult::allow().with_user_id(name),
            None => AuthenticationResult::deny(),
        }
    });
    let mechanism = match text(test, "mechanism")? {
        "null" => MechanismSetup::NullServer { authenticator },
        "plain" => MechanismSetup::PlainServer { authenticator },
        _ => {
            let mut options = CurveServerOptions::default();
            options.authenticator = Some(authenticator);
            MechanismSetup::CurveServer { our_keypair: pair(text(test, "own")?)?, options }
        }
    };
    let socket = Socket::new(SocketType::Router, Options { mechanism, ..Default::default() });
    let mut monitor = socket.monitor();
    let endpoint = socket.bind(text(test, "endpoint")?.replace(":*", ":0").parse::<Endpoint>()?).await?;
    println!("{}", json!({"event": "ready", "endpoint": endpoint.to_string()}));
    let router = socket.identity_routing()?;
    loop {
        tokio::select! {
            Ok(event) = monitor.recv() => { handshake(&event); }
            Ok((peer, message)) = router.recv_from() => {
                let body = message.part_bytes(1).unwrap_or_default();
                let info = peer.peer_info();
                let user = info.authentication.user_id.as_deref().map(String::from_utf8_lossy);
                println!("{}", json!({"event": "request", "body": String::from_utf8_lossy(&body), "user_id": user,
                    "address": info.peer_address.map(|address| address.ip().to_string())}));
                router.send_to(&peer, Message::multipart(["", "world"])).await?;
            }
            line = input.next_line() => {
                match line?.map(|line| serde_json::from_str::<Value>(&line)).transpose()? {
                    Some(next) if next["end"].is_null() => *known.write().unwrap() = keys()?,
                    _ => break,
                }
                println!("{}", json!({"event": "reloaded"}));
            }
        }
    }
    socket.close().await?;
    rest(monitor).await;
    Ok(())
}

async fn rest(mut monitor: MonitorStream) {
    // The stream itself lasts as long as any handle of the socket.
    while let Ok(event) = monitor.recv().await {
        if let MonitorEvent::Closed = event {
            break;
        }
        handshake(&event);
    }
}

async fn client(test: &Value) -> Result<(), Failure> {
    let options = match text(test, "mechanism")? {
        "null" => Options::default(),
        "plain" => Options::default().plain_client(text(test, "user")?, text(test, "password")?),
        _ => Options::default().curve_client(
            pair(text(test, "own")?)?,
            CurvePublicKey::from_z85(&key(text(test, "server")?, "public-key")?)?,
        ),
    };
    let socket = Socket::new(SocketType::Req, options);
    let mut monitor = socket.monitor();
    socket.connect(text(test, "endpoint")?.parse::<Endpoint>()?).await?;
    let mut why = "timeout";
    let after = |name| Instant::now() + Duration::from_millis(test[name].as_u64().unwrap_or(0));
    let mut end = after("timeout_ms");
    let exchange = {
        let socket = socket.clone();
        async move {
            socket.send(Message::single("hello")).await?;
            socket.recv().await
        }
    };
    tokio::pin!(exchange);
    let result = loop {
        tokio::select! {
            biased;
            Ok(event) = monitor.recv() => if let (Some(reason), "timeout") = (handshake(&event), why) {
                why = reason;
                end = after("quiet_ms");
            },
            reply = &mut exchange => break match reply {
                Ok(reply) => json!({"event": "reply", "body": String::from_utf8_lossy(&reply.part_bytes(0).unwrap_or_default())}),
                Err(error) => json!({"event": "no-reply", "why": format!("error: {error}")}),
            },
            () = sleep_until(end) => break json!({"event": "no-reply", "why": why}),
        }
    };
    println!("{result}");
    socket.close().await?;
    rest(monitor).await;
    Ok(())
}

fn text<'a>(test: &'a Value, name: &str) -> Result<&'a str, Failure> {
    test[name].as_str().ok_or_else(|| format!("no {name}").into())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let serves = std::env::args().nth(1).is_some_and(|role| role == "server");
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = input.next_line().await? {
        let test: Value = serde_json::from_str(&line)?;
        if test["case"].is_null() {
            continue;
        }
        let result = if !["null", "plain", "curve"].contains(&text(&test, "mechanism")?) {
            println!("{}", json!({"event": "unsupported", "why": "no such mechanism here"}));
            Ok(())
        } else if serves {
            server(&test, &mut input).await
        } else {
            client(&test).await
        };
        if let Err(error) = result {
            println!("{}", json!({"event": "error", "what": error.to_string()}));
        }
        println!("{}", json!({"event": "done"}));
    }
    Ok(())
}
