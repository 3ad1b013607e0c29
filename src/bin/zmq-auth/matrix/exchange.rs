//! Running one cell: a case for the server, one or two for the client, and what both print.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::unistd::{getegid, geteuid};
use serde::Serialize;
use serde_json::{Value, json};

use super::cell::{Case, Cell};
use super::credentials::{Credentials, password};
use super::peer::{Mechanism, Peer, Report, Role};
use super::process::{Pool, Process};
use crate::escape;

/// How long a client waits for an expected reply, or for a refusal if its stack reports refusals.
const TIMEOUT_MS: u64 = 10_000;
/// How long a client waits if its stack doesn't report refusals.
const SILENT_TIMEOUT_MS: u64 = 2_000;
/// How long a refused client goes on listening.
const QUIET_MS: u64 = 300;
/// The extra time of a peer for a case, to start and to close everything.
const MARGIN: Duration = Duration::from_secs(30);

const DOMAIN: &str = "lab";
const USER: &str = "alice";
const LOOPBACK: &str = "127.0.0.1";

/// The setting that all cells share.
pub(crate) struct Setting<'a> {
    pub(crate) peers: &'a [Peer],
    pub(crate) pool: &'a Pool,
    pub(crate) own: &'a Credentials,
    /// The credentials made by each peer, or why it couldn't make them.
    pub(crate) made_by: &'a [Option<Result<Credentials, String>>],
    /// The directory for the sockets and directories of single cells.
    pub(crate) directory: PathBuf,
}

#[derive(Serialize, Default, Clone, PartialEq, Eq)]
pub(crate) struct Handshake {
    /// `succeeded`, `denied` or `failed`.
    pub(crate) outcome: String,
    /// The ZAP status code, if the stack reports it.
    pub(crate) code: Option<u64>,
}

/// What the server printed.
#[derive(Serialize, Default, Clone)]
pub(crate) struct ServerSaid {
    /// The handshakes that its stack reported, each outcome once.
    pub(crate) handshakes: Vec<Handshake>,
    /// The number of requests that reached it.
    pub(crate) requests: usize,
    /// The user id that it reported for the first request.
    pub(crate) user_id: Option<String>,
    /// The client's address that it reported for the first request.
    pub(crate) address: Option<String>,
}

/// What the client printed.
#[derive(Serialize, Default, Clone)]
pub(crate) struct ClientSaid {
    /// The handshakes that its stack reported, each outcome once.
    pub(crate) handshakes: Vec<Handshake>,
    /// The body of the reply.
    pub(crate) reply: Option<String>,
    /// Why there is no reply: `denied`, `closed`, `timeout` or `error: …`.
    pub(crate) no_reply: Option<String>,
}

/// What the server should know of an accepted client.
#[derive(Default)]
pub(crate) struct Identity {
    /// Empty for NULL clients, which have shown no identity.
    pub(crate) user_id: String,
    pub(crate) address: String,
}

/// The result of a cell.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) server: ServerSaid,
    pub(crate) client: ClientSaid,
    /// What both printed before the keys were changed, in the cases `added` and `revoked`.
    pub(crate) before: Option<(ServerSaid, ClientSaid)>,
    pub(crate) identity: Identity,
}

/// Why a cell has no result.
pub(crate) enum Stopped {
    /// A peer can't do it, and says why.
    Unsupported(String),
    /// A peer failed.
    Failed(String),
}

/// Runs the cell with the number `number`.
pub(crate) fn run(setting: &Setting<'_>, cell: &Cell, number: usize) -> Result<Seen, Stopped> {
    let (server_peer, client_peer) = (&setting.peers[cell.server], &setting.peers[cell.client]);
    let mut server = setting.pool.take(server_peer, Role::Server).map_err(failed("server"))?;
    let mut client = setting.pool.take(client_peer, Role::Client).map_err(failed("client"))?;
    let seen = exchange(setting, cell, number, &mut server, &mut client);
    // After a failure, it is unknown what the processes will print next: don't reuse them.
    if !matches!(seen, Err(Stopped::Failed(_))) {
        setting.pool.put_back(server_peer, Role::Server, server);
        setting.pool.put_back(client_peer, Role::Client, client);
    }
    seen
}

fn exchange(
    setting: &Setting<'_>,
    cell: &Cell,
    number: usize,
    server: &mut Process,
    client: &mut Process,
) -> Result<Seen, Stopped> {
    let here = |error: std::io::Error| Stopped::Failed(format!("cannot create a directory for the cell: {error}"));
    let credentials = match cell.case {
        Case::KeysBy(maker) => match &setting.made_by[maker] {
            Some(Ok(credentials)) => credentials,
            Some(Err(why)) => return Err(Stopped::Failed(format!("{}: {why}", setting.peers[maker].name))),
            None => return Err(Stopped::Unsupported("it makes no certificates".to_owned())),
        },
        _ => setting.own,
    };
    let id = number.to_string();
    let clients = match cell.case {
        Case::Added | Case::Revoked => {
            let directory = setting.directory.join(format!("clients-{number}"));
            if cell.case == Case::Added {
                std::fs::create_dir(&directory).map_err(here)?;
            } else {
                credentials.copy_clients(&directory).map_err(here)?;
            }
            directory
        }
        _ => credentials.clients(),
    };
    let passwords = [password(), password()].map(|password| password.map_err(Stopped::Failed));
    let [right, wrong] = passwords;
    let (right, wrong) = (right?, wrong?);

    let endpoint = match cell.is_over_ipc() {
        true => format!("ipc://{}", setting.directory.join(&id).display()),
        false => "tcp://127.0.0.1:*".to_owned(),
    };
    let mut line = json!({
        "case": id, "mechanism": cell.mechanism, "endpoint": endpoint, "domain": DOMAIN,
    });
    match cell.mechanism {
        Mechanism::Null => {}
        Mechanism::Plain => line["users"] = json!({ USER: *right }),
        Mechanism::Curve => {
            line["own"] = json!(credentials.secret("server"));
            line["clients"] = json!(clients);
        }
    }
    match cell.case {
        Case::DeniedAddress => line["deny"] = json!([LOOPBACK]),
        Case::AllowedAddress | Case::IpcNotAllowed => line["allow"] = json!([LOOPBACK]),
        Case::PutOff => line["put_off"] = json!(true),
        _ => {}
    }
    let mut case = ServerCase { process: server, said: ServerSaid::default() };
    let endpoint = case.start(&line)?;

    let mut seen = Seen::default();
    let client_line = |is_wrong: bool, is_accepted: bool| {
        let reports = setting.peers[cell.client].reports(Report::ClientHandshake);
        let timeout = match cell.case {
            Case::PutOff => SILENT_TIMEOUT_MS,
            _ if is_accepted || reports => TIMEOUT_MS,
            _ => SILENT_TIMEOUT_MS,
        };
        let mut line = json!({
            "case": id, "mechanism": cell.mechanism, "endpoint": endpoint,
            "timeout_ms": timeout, "quiet_ms": QUIET_MS,
        });
        match cell.mechanism {
            Mechanism::Null => {}
            Mechanism::Plain => {
                line["user"] = json!(USER);
                line["password"] = json!(if is_wrong { &*wrong } else { &*right });
            }
            Mechanism::Curve => {
                line["own"] = json!(credentials.secret(if is_wrong { "mallory" } else { "alice" }));
                let name = if cell.case == Case::WrongServerKey { "another" } else { "server" };
                line["server"] = json!(credentials.public(name));
            }
        }
        line
    };
    seen.identity.user_id = match cell.mechanism {
        Mechanism::Null => String::new(),
        Mechanism::Plain => USER.to_owned(),
        Mechanism::Curve => credentials.alice.clone(),
    };
    seen.identity.address = match cell.is_over_ipc() {
        true => format!("localhost:{}:{}:{}", geteuid(), getegid(), client.id()),
        false => LOOPBACK.to_owned(),
    };

    if matches!(cell.case, Case::Added | Case::Revoked) {
        let is_revoked = cell.case == Case::Revoked;
        let file = clients.join("alice.key");
        let said =
            run_client(client, &client_line(false, is_revoked)).inspect_err(|stopped| case.leave(&id, stopped))?;
        let line = if is_revoked {
            std::fs::remove_file(&file).map_err(here)?;
            json!({ "revoke": "alice.key" })
        } else {
            std::fs::copy(credentials.public("alice"), &file).map_err(here)?;
            json!({ "reload": true })
        };
        case.reload(&line).inspect_err(|stopped| case.leave(&id, stopped))?;
        seen.before = Some((std::mem::take(&mut case.said), said));
    }
    let is_wrong = matches!(cell.case, Case::WrongCredential | Case::IpcWrongCredential);
    let line = client_line(is_wrong, cell.is_accepted());
    seen.client = run_client(client, &line).inspect_err(|stopped| case.leave(&id, stopped))?;
    case.process.tell(&json!({ "end": id })).map_err(failed("server"))?;
    case.until("done")?;
    seen.server = case.said;
    if let Some((before, _)) = &mut seen.before {
        // A stack may report a handshake only after the request that followed it.
        let outcome = if cell.is_accepted() { "denied" } else { "succeeded" };
        let late = |handshake: &Handshake| handshake.outcome == outcome && before.handshakes.is_empty();
        if let Some(at) = seen.server.handshakes.iter().position(late) {
            before.handshakes.push(seen.server.handshakes.remove(at));
        }
    }
    Ok(seen)
}

/// A server that runs a case, and the events it has printed.
struct ServerCase<'a> {
    process: &'a mut Process,
    said: ServerSaid,
}

impl ServerCase<'_> {
    /// Starts the case, and returns the endpoint that the server is bound to.
    fn start(&mut self, line: &Value) -> Result<String, Stopped> {
        self.process.tell(line).map_err(failed("server"))?;
        let ready = self.until("ready")?;
        let no_endpoint = || Stopped::Failed("server: it reports ready without an endpoint".to_owned());
        ready["endpoint"].as_str().map(str::to_owned).ok_or_else(no_endpoint)
    }

    /// Makes it read the clients' keys again.
    fn reload(&mut self, line: &Value) -> Result<(), Stopped> {
        self.process.tell(line).map_err(failed("server"))?;
        self.until("reloaded").map(drop)
    }

    /// Ends the case early, so that the process can run the next one.
    fn leave(&mut self, id: &str, stopped: &Stopped) {
        if matches!(stopped, Stopped::Unsupported(_)) && self.process.tell(&json!({ "end": id })).is_ok() {
            let _ = self.until("done");
        }
    }

    /// Collects what it prints up to this event.
    fn until(&mut self, last: &str) -> Result<Value, Stopped> {
        let deadline = Instant::now() + Duration::from_millis(TIMEOUT_MS) + MARGIN;
        loop {
            let event = self.process.event(deadline);
            let event = event.map_err(failed("server"))?;
            let name = event["event"].as_str().unwrap_or_default();
            match name {
                _ if name == last => return Ok(event),
                "handshake" => add_handshake(&mut self.said.handshakes, &event),
                "request" => {
                    if self.said.requests == 0 {
                        self.said.user_id = event["user_id"].as_str().map(str::to_owned);
                        self.said.address = event["address"].as_str().map(str::to_owned);
                    }
                    self.said.requests += 1;
                }
                "unsupported" if last == "reloaded" => {
                    return Err(Stopped::Unsupported(format!("server: {}", text(&event, "why"))));
                }
                _ => return Err(other(self.process, "server", name, &event, deadline)),
            }
        }
    }
}

fn run_client(process: &mut Process, line: &Value) -> Result<ClientSaid, Stopped> {
    process.tell(line).map_err(failed("client"))?;
    let timeout = Duration::from_millis(line["timeout_ms"].as_u64().unwrap_or(TIMEOUT_MS));
    let deadline = Instant::now() + timeout + MARGIN;
    let mut said = ClientSaid::default();
    loop {
        let event = process.event(deadline).map_err(failed("client"))?;
        let name = event["event"].as_str().unwrap_or_default();
        match name {
            "handshake" => add_handshake(&mut said.handshakes, &event),
            "reply" => said.reply = Some(text(&event, "body")),
            "no-reply" => said.no_reply = Some(text(&event, "why")),
            "done" if said.reply.is_some() != said.no_reply.is_some() => return Ok(said),
            "done" => {
                return Err(Stopped::Failed("client: it reports done without saying whether a reply came".to_owned()));
            }
            _ => return Err(other(process, "client", name, &event, deadline)),
        }
    }
}

fn add_handshake(handshakes: &mut Vec<Handshake>, event: &Value) {
    let handshake = Handshake { outcome: text(event, "outcome"), code: event["code"].as_u64() };
    if !handshakes.contains(&handshake) {
        handshakes.push(handshake);
    }
}

/// The meaning of an event that isn't part of a successful case. A peer prints `done` after it.
fn other(process: &mut Process, end: &str, name: &str, event: &Value, deadline: Instant) -> Stopped {
    let done = |process: &mut Process| process.event(deadline).is_ok_and(|event| event["event"] == "done");
    match name {
        "unsupported" if done(process) => Stopped::Unsupported(format!("{end}: {}", text(event, "why"))),
        "error" => Stopped::Failed(format!("{end}: {}", text(event, "what"))),
        _ => {
            let shown: String = event.to_string().chars().take(200).collect();
            Stopped::Failed(format!("{end}: it prints something unexpected: {}", escape::text(&shown)))
        }
    }
}

/// Turns an error of one end's process into a failure of the cell.
fn failed(end: &str) -> impl Fn(String) -> Stopped + '_ {
    move |error| Stopped::Failed(format!("{end}: {}", escape::text(&error)))
}

fn text(event: &Value, field: &str) -> String {
    escape::text(event[field].as_str().unwrap_or("(nothing)"))
}
