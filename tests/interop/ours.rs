//! This crate's policy, driven by `scenarios.txt`: configuration calls and raw ZAP requests, one answer for each line.
//!
//! `-` is an empty word, `x:6869` a hexadecimal one. `ask` takes the frames of a request from the version on and answers with
//! the status and the user id of the reply. `pyzmq.py` does the same with pyzmq's policy.
//!
//! ```text
//! new                                  a new policy
//! allow ADDRESS... / deny ADDRESS...
//! plain DOMAIN USER=PASSWORD...
//! curve DOMAIN DIRECTORY|*
//! callback DOMAIN allow|deny|raise     asked about CURVE keys
//! user-id NAME|raise                   what every CURVE client is called
//! gssapi DOMAIN
//! start                                a handler thread, which gets the requests from here on
//! ask FRAME...                         a request
//! put FRAME...                         one that isn't waited for
//! create DIRECTORY NAME                certificates; answers with the mode of the secret file
//! logged WORD                          whether the log since `new` holds the word
//! ```

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, bail};
use zmq_auth::{Authenticator, ThreadAuthenticator, Verdict, create_certificates};

use crate::harness::{DEADLINE, log};

/// The answers to these lines.
pub(crate) fn answers(lines: &[&str]) -> Vec<String> {
    let mut subject = Subject::default();
    // What follows the first word may be a password.
    let command = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    let answer = |line: &&str| subject.take(line).unwrap_or_else(|error| panic!("{}: {error:#}", command(line)));
    lines.iter().map(answer).collect()
}

#[derive(Default)]
struct Subject {
    authenticator: Authenticator,
    // In the order in which they must be dropped: the socket before its context.
    running: Option<(ThreadAuthenticator, zmq::Socket, zmq::Context)>,
    /// The number of records in the log before.
    logged: usize,
}

impl Subject {
    fn take(&mut self, line: &str) -> Result<String> {
        let words = line.split(' ').map(word).collect::<Result<Vec<_>>>()?;
        let (command, words) = words.split_first().context("an empty line")?;
        let texts = || words.iter().map(|word| Ok(std::str::from_utf8(word)?)).collect::<Result<Vec<_>>>();
        let answer = match (&command[..], words.len()) {
            (b"new", 0) => {
                *self = Subject { logged: log::records(|_| true).len(), ..Subject::default() };
                "ok".into()
            }
            (b"allow", _) => taken(self.authenticator.allow(texts()?)),
            (b"deny", _) => taken(self.authenticator.deny(texts()?)),
            (b"plain", 1..) => {
                let (domain, users) = (texts()?[0], &texts()?[1..]);
                let users = users.iter().filter_map(|user| user.split_once('='));
                taken(self.authenticator.configure_plain(domain, users))
            }
            (b"curve", 2) => taken(self.authenticator.configure_curve(texts()?[0], texts()?[1])),
            (b"callback", 2) => {
                let verdict = texts()?[1].to_owned();
                taken(self.authenticator.configure_curve_callback(texts()?[0], move |_, _| match &*verdict {
                    "allow" => Verdict::from(true),
                    "deny" => Verdict::from(false),
                    _ => panic!("as the script asks"),
                }))
            }
            (b"user-id", 1) => {
                let name = texts()?[0].to_owned();
                self.authenticator.curve_user_id(move |_| match &*name {
                    "raise" => panic!("as the script asks"),
                    name => name.to_owned(),
                });
                "ok".into()
            }
            (b"gssapi", 1) => taken(self.authenticator.configure_gssapi(texts()?[0])),
            (b"start", 0) => {
                let context = zmq::Context::new();
                let running = self.authenticator.start(&context)?;
                let socket = context.socket(zmq::DEALER)?;
                socket.connect("inproc://zeromq.zap.01")?;
                self.running = Some((running, socket, context));
                "ok".into()
            }
            (b"ask", _) => self.ask(words)?,
            (b"put", _) => {
                let (_, socket, _) = self.running.as_ref().context("put: not started")?;
                put(socket, words)?;
                "ok".into()
            }
            (b"create", 2) => match create_certificates(texts()?[0], texts()?[1]) {
                Ok((_, secret)) => format!("{:o}", secret.metadata()?.permissions().mode() & 0o777),
                Err(_) => "refused".into(),
            },
            // The tests' logger aborts the process if it is given a secret.
            (b"logged", 1) => {
                let records = log::records(|_| true).split_off(self.logged);
                let word = texts()?[0];
                if records.iter().any(|record| record.text.contains(word)) { "yes" } else { "no" }.into()
            }
            _ => bail!("not understood"),
        };
        Ok(answer)
    }

    fn ask(&self, frames: &[Vec<u8>]) -> Result<String> {
        let reply = match &self.running {
            None => self.authenticator.handle_zap_message(frames),
            Some((_, socket, _)) => {
                put(socket, frames)?;
                if socket.poll(zmq::POLLIN, i64::try_from(DEADLINE.as_millis())?)? == 0 {
                    return Ok("silence".into());
                }
                Some(socket.recv_multipart(0)?.split_off(1))
            }
        };
        let Some(reply) = reply else { return Ok("none".into()) };
        let [version, id, status, _text, user_id, _metadata] = &reply[..] else { bail!("no ZAP reply: {reply:?}") };
        if version != b"1.0" || Some(id) != frames.get(1) {
            bail!("a reply to another request: {reply:?}");
        }
        Ok(format!("{} {}", status.escape_ascii(), user_id.escape_ascii()).trim_end().to_owned())
    }
}

fn put(socket: &zmq::Socket, frames: &[Vec<u8>]) -> Result<()> {
    Ok(socket.send_multipart(std::iter::once(&[][..]).chain(frames.iter().map(Vec::as_slice)), 0)?)
}

fn word(text: &str) -> Result<Vec<u8>> {
    match (text, text.strip_prefix("x:")) {
        ("-", _) => Ok(vec![]),
        (_, Some(hex)) => (0..hex.len())
            .step_by(2)
            .map(|at| Ok(u8::from_str_radix(hex.get(at..at + 2).context("half a byte")?, 16)?))
            .collect(),
        (text, None) => Ok(text.into()),
    }
}

fn taken(result: zmq_auth::Result<()>) -> String {
    if result.is_ok() { "ok".into() } else { "refused".into() }
}
