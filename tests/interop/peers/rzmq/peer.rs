//! A peer on rzmq: ZMTP, PLAIN and CURVE in Rust alone, without ZAP. A PLAIN server knows one user; a CURVE server
//! accepts every client that has its public key, whatever `clients` says.

use std::time::Duration;

use rzmq::socket::{self, SocketEvent};
use rzmq::{Context, Msg, Socket, SocketType};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::time::{Instant, sleep_until, timeout};

type Failure = Box<dyn std::error::Error>;
type Input = Lines<BufReader<Stdin>>;

fn key(file: &str, name: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let keys = text.split_once("\ncurve").ok_or("no section 'curve'")?.1;
    let mut lines = keys.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
    Ok(value.ok_or("no such key")?.trim().trim_matches('"').into())
}

/// Prints what an event says about a handshake; the answer is why it ended badly.
fn handshake(event: &SocketEvent) -> Option<&'static str> {
    let (outcome, code, why) = match event {
        SocketEvent::HandshakeSucceeded { .. } => ("succeeded", None, None),
        // Text alone tells a refusal from a failure: "Authentication failed: Received ERROR from server: 400".
        SocketEvent::HandshakeFailed { error_msg, .. } if error_msg.starts_with("Authentication failed") => {
            let code = error_msg.rsplit(' ').next().and_then(|word| word.parse::<u16>().ok());
            ("denied", code, Some("denied"))
        }
        SocketEvent::HandshakeFailed { .. } => ("failed", None, Some("closed")),
        _ => return None,
    };
    eprintln!("{event:?}");
    println!("{}", json!({"event": "handshake", "outcome": outcome, "code": code}));
    why
}

async fn server(test: &Value, input: &mut Input, socket: &Socket) -> Result<(), Failure> {
    match text(test, "mechanism")? {
        "plain" => {
            let users = test["users"].as_object().ok_or("no users")?;
            let (user, password) = users.iter().next().ok_or("no user")?;
            socket.set_option(socket::PLAIN_SERVER, true).await?;
            socket.set_option(socket::PLAIN_USERNAME, user.as_str()).await?;
            socket.set_option(socket::PLAIN_PASSWORD, password.as_str().unwrap_or_default()).await?;
        }
        "curve" => {
            socket.set_option(socket::CURVE_SERVER, true).await?;
            socket.set_option(socket::CURVE_SECRET_KEY, &*key(text(test, "own")?, "secret-key")?).await?;
        }
        _ => {}
    }
    let monitor = socket.monitor_default().await?;
    socket.bind(&text(test, "endpoint")?.replace(":*", ":0")).await?;
    let endpoint = String::from_utf8(socket.get_option(socket::LAST_ENDPOINT).await?)?;
    println!("{}", json!({"event": "ready", "endpoint": endpoint}));
    let replies = tokio::spawn({
        let socket = socket.clone();
        async move {
            while let Ok(message) = socket.recv().await {
                let body = String::from_utf8_lossy(message.data().unwrap_or_default()).into_owned();
                println!("{}", json!({"event": "request", "body": body, "user_id": null, "address": null}));
                let _ = socket.send(Msg::from_static(b"world")).await;
            }
        }
    });
    loop {
        tokio::select! {
            Ok(event) = monitor.recv() => { handshake(&event); }
            line = input.next_line() => {
                match line?.map(|line| serde_json::from_str::<Value>(&line)).transpose()? {
                    Some(next) if next["end"].is_null() => {}
                    _ => break,
                }
                println!("{}", json!({"event": "unsupported", "why": "rzmq keeps no list of clients"}));
            }
        }
    }
    replies.abort();
    socket.close().await?;
    while let Ok(event) = monitor.try_recv() {
        handshake(&event);
    }
    Ok(())
}

async fn client(test: &Value, socket: &Socket) -> Result<(), Failure> {
    match text(test, "mechanism")? {
        "plain" => {
            socket.set_option(socket::PLAIN_USERNAME, text(test, "user")?).await?;
            socket.set_option(socket::PLAIN_PASSWORD, text(test, "password")?).await?;
        }
        "curve" => {
            socket.set_option(socket::CURVE_SECRET_KEY, &*key(text(test, "own")?, "secret-key")?).await?;
            socket.set_option(socket::CURVE_SERVER_KEY, &*key(text(test, "server")?, "public-key")?).await?;
        }
        _ => {}
    }
    let monitor = socket.monitor_default().await?;
    socket.connect(text(test, "endpoint")?).await?;
    let (mut why, mut told) = ("timeout", false);
    let after = |name| Instant::now() + Duration::from_millis(test[name].as_u64().unwrap_or(0));
    let mut end = after("timeout_ms");
    let exchange = async {
        socket.send(Msg::from_static(b"hello")).await?;
        socket.recv().await
    };
    tokio::pin!(exchange);
    let result = loop {
        tokio::select! {
            biased;
            Ok(event) = monitor.recv() => {
                told |= matches!(event, SocketEvent::HandshakeSucceeded { .. });
                if let (Some(reason), "timeout") = (handshake(&event), why) {
                    why = reason;
                    end = after("quiet_ms");
                }
            }
            reply = &mut exchange => break match reply {
                Ok(reply) => {
                    let body = String::from_utf8_lossy(reply.data().unwrap_or_default()).into_owned();
                    json!({"event": "reply", "body": body})
                }
                Err(error) => json!({"event": "no-reply", "why": format!("error: {error}")}),
            },
            () = sleep_until(end) => break json!({"event": "no-reply", "why": why}),
        }
    };
    println!("{result}");
    // The event of a handshake may come after the reply.
    while result["event"] == "reply" && !told {
        let Ok(Ok(event)) = timeout(Duration::from_secs(1), monitor.recv()).await else { break };
        handshake(&event);
        told = matches!(event, SocketEvent::HandshakeSucceeded { .. });
    }
    Ok(())
}

fn text<'a>(test: &'a Value, name: &str) -> Result<&'a str, Failure> {
    test[name].as_str().ok_or_else(|| format!("no {name}").into())
}

/// What rzmq has no means for; `users` with more than one entry would need a lookup.
fn unsupported(test: &Value) -> Option<&'static str> {
    let mechanism = test["mechanism"].as_str().unwrap_or_default();
    if !["null", "plain", "curve"].contains(&mechanism) {
        Some("no such mechanism here")
    } else if !test["allow"].is_null() || !test["deny"].is_null() {
        Some("rzmq has no rules about addresses")
    } else if mechanism == "plain" && test["users"].as_object().is_some_and(|users| users.len() != 1) {
        Some("a server of rzmq knows one user")
    } else {
        None
    }
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
        let context = Context::new()?;
        let result = if let Some(why) = unsupported(&test) {
            println!("{}", json!({"event": "unsupported", "why": why}));
            Ok(())
        } else {
            let socket = context.socket(if serves { SocketType::Rep } else { SocketType::Req })?;
            socket.set_option(socket::LINGER, 0i32).await?;
            if serves { server(&test, &mut input, &socket).await } else { client(&test, &socket).await }
        };
        if let Err(error) = result {
            println!("{}", json!({"event": "error", "what": error.to_string()}));
        }
        context.term().await?;
        println!("{}", json!({"event": "done"}));
    }
    Ok(())
}
