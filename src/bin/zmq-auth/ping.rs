//! `zmq-auth ping`: tries a handshake with a server, and explains the outcome.

mod attempts;
mod causes;
mod endpoint;
mod reach;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Args};
use jiff::SignedDuration;
use serde::Serialize;
use zmq_auth::Role;

use crate::output::{Exit, Failure, Output};
use crate::password::PasswordSource;
use crate::time;
use crate::{escape, key_files};
use attempts::{Attempt, AttemptOutcome, SocketType};
use causes::{Cause, Mechanism};
use endpoint::Target;
use reach::Reach;

/// Try a handshake with a server, and explain its outcome
///
/// No message is sent: an authenticated client closes its connection at once. Without --type, DEALER, SUB and PUSH are tried
/// until one is authenticated or denied, because libzmq refuses a socket type that doesn't match in the same way as a wrong
/// key.
#[derive(Args)]
#[command(
    group = ArgGroup::new("credentials").required(true).args(["key", "plain", "null"]),
    after_help = "Example:\n  zmq-auth ping tcp://192.0.2.7:5555 --server server.key --key alice.key_secret\n\n\
                  Exit codes: 0 authenticated, 3 denied, 4 no handshake, 5 unreachable."
)]
pub(crate) struct Ping {
    /// The server's endpoint, such as tcp://192.0.2.7:5555 or ipc:///run/shop.sock
    endpoint: String,
    /// CURVE: the server's public certificate
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["plain", "null"])]
    server: Option<PathBuf>,
    /// CURVE: the client's secret certificate
    #[arg(long, value_name = "FILE", requires = "server")]
    key: Option<PathBuf>,
    /// PLAIN: the user name; you are asked for the password
    #[arg(long, value_name = "USER")]
    plain: Option<String>,
    /// NULL: no credentials
    #[arg(long)]
    null: bool,
    #[command(flatten)]
    password: PasswordSource,
    /// The client's socket type, if you know the server's: dealer for REP, ROUTER and DEALER, sub for PUB and XPUB, push for
    /// PULL
    #[arg(long = "type", value_name = "TYPE")]
    socket_type: Option<SocketType>,
    /// The time limit for everything
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time::span)]
    timeout: SignedDuration,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Report {
    /// The endpoint as given.
    endpoint: String,
    /// `CURVE`, `PLAIN` or `NULL`.
    mechanism: Mechanism,
    /// `authenticated`, `denied`, `no-handshake` or `unreachable`.
    outcome: Outcome,
    /// The ZAP status if denied: 300, 400 or 500. Null for every other outcome.
    code: Option<u32>,
    /// libzmq's number of the protocol violation (`ZMQ_PROTOCOL_ERROR_*` of zmq.h), if it reports one.
    protocol_error: Option<u32>,
    /// The socket type that was authenticated or denied: `DEALER`, `SUB` or `PUSH`; null if none was.
    #[serde(rename = "type")]
    socket_type: Option<SocketType>,
    /// The outcome in a sentence.
    summary: String,
    /// The likely causes, most likely first.
    causes: Vec<Cause>,
    /// A caveat about the outcome, if there is one.
    note: Option<&'static str>,
    /// The socket types that were tried, in order.
    attempts: Vec<Attempt>,
    /// How long it took.
    milliseconds: u64,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Authenticated,
    Denied,
    NoHandshake,
    Unreachable,
}

impl Ping {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let target = endpoint::parse(&self.endpoint)?;
        let timeout = self.timeout()?;
        let (mechanism, role) = self.role()?;
        let start = Instant::now();
        let end = start + timeout;
        // The last tenth is reserved for finding out why nothing happened.
        let handshakes_end = end - (timeout / 10).min(Duration::from_secs(1));

        let found = match target.resolve(handshakes_end) {
            Err(reach) => Found { attempts: Vec::new(), reach: Some(reach) },
            Ok(target) => {
                let types = self.socket_type.map_or(SocketType::ALL.to_vec(), |socket_type| vec![socket_type]);
                let attempts =
                    attempts::run(&self.endpoint, &target, mechanism, &role, &types, (start, handshakes_end))?;
                let is_decided = attempts.iter().any(|attempt| attempt.outcome.is_decided());
                Found { reach: (!is_decided).then(|| reach::probe(&target, end)), attempts }
            }
        };
        let report = self.report(mechanism, &target, found, start);
        output.write(&report, |out| report.write_text(out))?;
        Ok(match report.outcome {
            Outcome::Authenticated => Exit::Done,
            Outcome::Denied => Exit::Denied,
            Outcome::NoHandshake => Exit::NoHandshake,
            Outcome::Unreachable => Exit::Unreachable,
        })
    }

    fn timeout(&self) -> Result<Duration, Failure> {
        // A day: anything longer is a mistake, and could overflow libzmq's milliseconds.
        let most = Duration::from_secs(24 * 60 * 60);
        match Duration::try_from(self.timeout) {
            Ok(timeout) if !timeout.is_zero() && timeout <= most => Ok(timeout),
            _ => Err(Failure::usage("--timeout must be more than 0 and at most 1d").hint("Write --timeout 5s.")),
        }
    }

    fn role(&self) -> Result<(Mechanism, Role), Failure> {
        if self.plain.is_none() && self.password.is_given() {
            return Err(Failure::usage("--stdin and --password-file give the password of --plain USER"));
        }
        if let Some(user) = &self.plain {
            let password = self.password.read(&format!("Password of {}: ", escape::text(user)))?;
            let role = Role::plain_client(user, &password).map_err(|error| Failure::usage(error.to_string()))?;
            return Ok((Mechanism::Plain, role));
        }
        match (&self.server, &self.key) {
            (Some(server), Some(key)) => {
                let (server, keys) = key_files::server_and_client(server, key)?;
                Ok((Mechanism::Curve, Role::curve_client(&keys, &server)?))
            }
            _ => Ok((Mechanism::Null, Role::null_client())),
        }
    }

    fn report(&self, mechanism: Mechanism, target: &Target, found: Found, start: Instant) -> Report {
        let Found { attempts, reach } = found;
        let decided = attempts.iter().find(|attempt| attempt.outcome.is_decided());
        let (mut code, mut protocol_error) = (None, None);
        let (outcome, summary, causes) = match (decided.map(|attempt| attempt.outcome), reach) {
            (Some(AttemptOutcome::Denied(status)), _) => {
                code = Some(status);
                let did = if status == 300 { "told the client to retry" } else { "refused the client" };
                let summary = format!("denied ({status}): the server's ZAP handler {did}");
                (Outcome::Denied, summary, causes::denied(mechanism, status))
            }
            (Some(_), _) => (Outcome::Authenticated, "authenticated".to_owned(), Vec::new()),
            (None, Some(reach)) if is_unreachable(&attempts, &reach) => {
                let summary = format!("unreachable: {}", reach.summary());
                (Outcome::Unreachable, summary, causes::unreachable(target, &reach))
            }
            (None, reach) => {
                protocol_error = attempts.iter().find_map(|attempt| match attempt.outcome {
                    AttemptOutcome::Violation(error) => Some(error.code()),
                    _ => None,
                });
                let (summary, causes) = self.no_handshake(mechanism, &attempts, reach);
                (Outcome::NoHandshake, format!("no handshake: {summary}"), causes)
            }
        };
        Report {
            endpoint: self.endpoint.clone(),
            mechanism,
            outcome,
            code,
            protocol_error,
            socket_type: decided.map(|attempt| attempt.socket_type),
            summary,
            causes,
            note: matches!(outcome, Outcome::Authenticated).then(|| causes::what_authenticated_means(mechanism)),
            attempts,
            milliseconds: attempts::milliseconds(start),
        }
    }

    /// The summary and likely causes of a handshake that wasn't decided.
    fn no_handshake(&self, mechanism: Mechanism, attempts: &[Attempt], reach: Option<Reach>) -> (String, Vec<Cause>) {
        if let Some(Reach::Accepts(greeting)) = reach
            && let Some(certain) = causes::greeted(mechanism, &greeting)
        {
            return (greeting.summary(), vec![certain]);
        }
        let tried = match self.socket_type {
            Some(socket_type) => socket_type.name(),
            None => "DEALER, SUB and PUSH",
        };
        let outcomes = || attempts.iter().map(|attempt| attempt.outcome);
        if outcomes().any(|outcome| outcome == AttemptOutcome::Silent) {
            let summary = "the connection was made, but the server sent nothing more";
            return (summary.to_owned(), causes::silent(mechanism, tried));
        }
        match attempts.last().map(|attempt| attempt.outcome) {
            Some(AttemptOutcome::Violation(error)) => {
                (format!("libzmq reports {error}"), causes::violation(mechanism, error, tried))
            }
            _ => {
                let summary = "the server closed the connection without saying why";
                (summary.to_owned(), causes::closed(mechanism, tried, self.server.as_deref()))
            }
        }
    }
}

struct Found {
    attempts: Vec<Attempt>,
    /// The result of a plain connection, if no handshake was decided.
    reach: Option<Reach>,
}

/// Whether there was no connection. If all attempts were silent, the plain connection tells.
fn is_unreachable(attempts: &[Attempt], reach: &Reach) -> bool {
    let is_silent = attempts.iter().all(|attempt| attempt.outcome == AttemptOutcome::Silent);
    match attempts.first().map(|attempt| attempt.outcome) {
        None | Some(AttemptOutcome::Unreachable) => true,
        Some(_) => is_silent && !matches!(reach, Reach::Accepts(_)),
    }
}

impl Report {
    fn write_text(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        write!(out, "{}: {}", escape::text(&self.endpoint), self.summary)?;
        match self.socket_type {
            Some(socket_type) => write!(out, " ({}, {}", self.mechanism.name(), socket_type.name())?,
            None => write!(out, " ({}", self.mechanism.name())?,
        }
        writeln!(out, ", {} ms)", self.milliseconds)?;
        if let Some(note) = self.note {
            writeln!(out, "{note}")?;
        }
        if !self.causes.is_empty() {
            writeln!(out, "Likely causes, most likely first:")?;
        }
        for (cause, number) in self.causes.iter().zip(1..) {
            writeln!(out, "  {number}. {}", cause.text)?;
        }
        Ok(())
    }
}
