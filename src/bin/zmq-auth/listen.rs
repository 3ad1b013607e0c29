//! `zmq-auth listen`: accepts clients by a policy file and prints each decision, to try a policy out.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;
use zmq_auth::{Event, Events, KeyPair, PolicyFile, SocketExt, zmq};

use crate::output::{Exit, Failure, Output};
use crate::{bucket, endpoint, escape};

/// Try out a policy file: accept clients at an endpoint by it, and print each decision
///
/// Changes to the policy file, and to the directories and password files that it names, apply while this runs. Messages from
/// clients are discarded, and get no reply. It runs until it is interrupted.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  \
        zmq-auth listen policy.toml 'tcp://0.0.0.0:5555' --domain lab --curve server.key_secret")]
pub(crate) struct Listen {
    /// The policy file
    policy: PathBuf,
    /// Where to listen: tcp://ADDRESS:PORT, or ipc://PATH; port * means any free port
    endpoint: String,
    /// The ZAP domain of the socket
    #[arg(long)]
    domain: String,
    #[command(flatten)]
    server: Server,
    /// The type of the socket
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t = SocketType::Router)]
    socket_type: SocketType,
}

/// The server's mechanism.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Server {
    /// A CURVE server with this secret certificate
    #[arg(long, value_name = "FILE")]
    curve: Option<PathBuf>,
    /// A PLAIN server
    #[arg(long)]
    plain: bool,
    /// A NULL server
    #[arg(long)]
    null: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SocketType {
    /// For DEALER and REQ clients
    Router,
    /// For SUB clients
    Xpub,
    /// For PUSH clients
    Pull,
}

/// The first line that `--json` writes.
#[derive(Serialize)]
struct Listening {
    /// The endpoint, with the actual port.
    listening: String,
}

/// A line for an event.
#[derive(Serialize)]
pub(crate) struct Line {
    /// When it happened, in RFC 3339.
    time: String,
    /// What happened: the name of an `EventKind` of the library, such as `Allowed`, `Denied` or `Reloaded`.
    event: String,
    /// The ZAP status code: 200, 300, 400 or 500. This and the fields up to `user_id` are null if the event isn't about
    /// a client.
    status: Option<u16>,
    /// `NULL`, `PLAIN`, `CURVE` or `GSSAPI`.
    mechanism: Option<String>,
    /// The ZAP domain.
    domain: Option<String>,
    /// The client's address.
    address: Option<String>,
    /// The user name, key or principal that the client showed.
    client: Option<String>,
    /// The user id of an accepted client.
    user_id: Option<String>,
    /// Why, in words.
    reason: String,
}

impl Listen {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        endpoint::parse(&self.endpoint, "Write tcp://ADDRESS:PORT or ipc://PATH.")?;
        bucket::tell_of_contact();
        let policy = PolicyFile::open(&self.policy).map_err(|error| {
            Failure::from(error).hint(format!("All problems: zmq-auth lint {}", escape::shell(&self.policy)))
        })?;
        policy.watch()?;
        let auth = policy.authenticator();
        let events = auth.events(10_000);
        let context = zmq::Context::new();
        let _running = auth.start(&context)?;
        let server = self.bind(&context, &policy)?;
        let listening = server.endpoint()?;
        output.line(&Listening { listening: listening.clone() }, &format!("listening on {listening}"))?;
        // Discards messages, so that libzmq keeps reading from the connections.
        let mut message = zmq::Message::new();
        loop {
            print(&events, output)?;
            while server.recv(&mut message, zmq::DONTWAIT).is_ok() {}
        }
    }

    fn bind(&self, context: &zmq::Context, policy: &PolicyFile) -> Result<zmq::Socket, Failure> {
        let socket_type = match self.socket_type {
            SocketType::Router => zmq::ROUTER,
            SocketType::Xpub => zmq::XPUB,
            SocketType::Pull => zmq::PULL,
        };
        let mut server = context.socket(socket_type).map_err(zmq_auth::Error::from)?;
        match &self.server {
            Server { curve: Some(file), .. } => {
                let keys = KeyPair::load(file).map_err(|error| {
                    Failure::from(error).hint("A server needs its secret certificate, such as server.key_secret.")
                })?;
                server.curve_server(&keys, &self.domain)?;
            }
            Server { plain: true, .. } => server.plain_server(&self.domain)?,
            _ => server.null_server(&self.domain)?,
        }
        if let Some(bytes) = policy.message_size() {
            server.set_maxmsgsize(i64::try_from(bytes).unwrap_or(i64::MAX)).map_err(zmq_auth::Error::from)?;
        }
        let failed = |error| Failure::new(format!("cannot listen on {}: {error}", escape::text(&self.endpoint)));
        server.bind(&self.endpoint).map_err(|error| failed(error).hint(HINT))?;
        Ok(server)
    }
}

const HINT: &str = "Does something else listen on it? Endpoints are tcp://ADDRESS:PORT or ipc://PATH; tcp://*:PORT is every \
                    address of this machine.";

/// Prints events until there are none for a moment.
fn print(events: &Events, output: &Output) -> Result<(), Failure> {
    while let Some(event) = events.next_timeout(Duration::from_millis(50)) {
        let (line, text) = line(event);
        output.line(&line, &text)?;
    }
    Ok(())
}

/// The line of an event, and its text for people.
pub(crate) fn line(event: Event) -> (Line, String) {
    let time = Timestamp::try_from(event.time).unwrap_or_default();
    let text = format!("{time:.3} {event}");
    let about_a_client = |text: String| (!text.is_empty()).then_some(text);
    let line = Line {
        time: time.to_string(),
        event: format!("{:?}", event.kind),
        status: event.status,
        mechanism: about_a_client(event.mechanism),
        domain: about_a_client(event.domain),
        address: about_a_client(event.address),
        client: event.client,
        user_id: event.user_id,
        reason: event.reason,
    };
    (line, text)
}
