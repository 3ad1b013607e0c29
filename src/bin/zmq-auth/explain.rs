//! `zmq-auth explain`: shows how a policy file decides about a client, rule by rule, without a server.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde::Serialize;
use zmq_auth::{Authenticator, Certificate, Explanation, MatchedDomain, Password, PolicyFile, PublicKey};

use crate::output::{Exit, Failure, Output};
use crate::password::PasswordSource;
use crate::{directory, escape};

/// Show how a policy file decides about a client, rule by rule, without a server
///
/// All files that the policy names must be valid, as they must be when a server starts.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
        zmq-auth explain policy.toml --domain lab --address 10.0.0.7 --curve alice.key\n  \
        zmq-auth explain policy.toml --domain lab --address 10.0.0.7 --plain alice\n\n\
        Exit codes: 0 accepted, or it depends on the password or on a bucket; 3 refused.")]
pub(crate) struct Explain {
    /// The policy file
    policy: PathBuf,
    /// The ZAP domain of the server's socket
    #[arg(long)]
    domain: String,
    /// The client's address as the server sees it: 10.0.0.7, fd00::7, or localhost:UID:GID:PID for ipc
    #[arg(long)]
    address: String,
    #[command(flatten)]
    client: Client,
    #[command(flatten)]
    password: PasswordSource,
}

/// What the client shows.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Client {
    /// A CURVE client with this key: its Z85 text, or a certificate file
    #[arg(long, value_name = "KEY|FILE", allow_hyphen_values = true)]
    curve: Option<String>,
    /// A PLAIN client with this user name; give its password with --stdin or --password-file, or not at all
    #[arg(long, value_name = "USER")]
    plain: Option<String>,
    /// A NULL client
    #[arg(long)]
    null: bool,
}

/// What `--json` writes.
#[derive(Serialize)]
struct Explained {
    /// `accepted`, `refused`, `depends on the password`, or `depends on the bucket`.
    outcome: &'static str,
    /// The ZAP status code; null if it depends on the password.
    status: Option<u16>,
    /// Why, in words.
    reason: String,
    /// The user id of an accepted client.
    user_id: Option<String>,
    /// The address rule that covers the client, such as `deny 10.0.0.0/8`.
    address_rule: Option<String>,
    /// Whether the address rules alone refuse it.
    address_refused: bool,
    /// The domain whose source decides: that of the request, or `*`. Null if neither has one.
    domain: Option<String>,
    /// The kind of source.
    source: Option<&'static str>,
    /// The directory or file of the source.
    #[serde(serialize_with = "escape::json_option")]
    store: Option<PathBuf>,
    /// Whether the source has the key or the user; null if it has no list.
    listed: Option<bool>,
    /// The certificate files with the key.
    #[serde(serialize_with = "escape::json_all")]
    files: Vec<PathBuf>,
    /// The start of the certificate's validity, if it has one.
    not_before: Option<String>,
    /// The end of its validity, if it has one.
    not_after: Option<String>,
}

impl Explain {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        if self.password.is_given() && self.client.plain.is_none() {
            return Err(Failure::usage("a password makes sense only for a PLAIN client").hint("Add --plain USER."));
        }
        self.check_request()?;
        let policy = PolicyFile::inspect(&self.policy).map_err(|error| {
            Failure::from(error).hint(format!("All problems: zmq-auth lint {}", escape::shell(&self.policy)))
        })?;
        let auth = policy.authenticator();
        let (mechanism, credentials) = self.credentials()?;
        let credentials: Vec<&[u8]> = credentials.iter().map(Password::as_bytes).collect();
        let explained = self.explain(auth, mechanism, &credentials)?;
        output.write(&explained, |out| write!(out, "{}", self.text(mechanism, &explained)))?;
        Ok(if explained.outcome == REFUSED { Exit::Denied } else { Exit::Done })
    }

    /// Fails for a request that no server would make: it is a mistake, and the answer would mislead.
    fn check_request(&self) -> Result<(), Failure> {
        // Without a domain, libzmq doesn't ask the handler; RFC 27 allows at most 255 bytes.
        if !(1..=255).contains(&self.domain.len()) {
            return Err(
                Failure::usage("--domain must have 1 to 255 bytes").hint("Write it as the server's socket has it.")
            );
        }
        if !is_address(&self.address) {
            return Err(Failure::usage(format!("--address {}: is not an address", escape::text(&self.address)))
                .hint("Write 10.0.0.7, fd00::7, fe80::7%eth0, or localhost:UID:GID:PID for ipc."));
        }
        Ok(())
    }

    /// The mechanism and its credential frames. If no password was given, it is empty.
    fn credentials(&self) -> Result<(&'static str, Vec<Password>), Failure> {
        match &self.client {
            Client { curve: Some(key), .. } => Ok(("CURVE", vec![Password::from(&key_of(key)?.as_bytes()[..])])),
            Client { plain: Some(user), .. } if self.password.is_given() => {
                Ok(("PLAIN", vec![user.as_str().into(), self.password.read("Password: ")?.into()]))
            }
            Client { plain: Some(user), .. } => Ok(("PLAIN", vec![user.as_str().into(), "".into()])),
            _ => Ok(("NULL", Vec::new())),
        }
    }

    fn explain(&self, auth: &Authenticator, mechanism: &str, credentials: &[&[u8]]) -> Result<Explained, Failure> {
        let mut frames: Vec<&[u8]> = vec![b"1.0", b"1", self.domain.as_bytes(), self.address.as_bytes(), b""];
        frames.push(mechanism.as_bytes());
        frames.extend(credentials);
        let unreadable = || Failure::new("cannot build the request");
        let found: Explanation = auth.explain(&frames).ok_or_else(unreadable)?;
        let is_in_bucket = found.source == Some(PUSHED);
        let is_open = mechanism == "PLAIN" && !self.password.is_given();
        let depends = is_open && !found.address_refused && found.listed == Some(true);
        let (status, reason, user_id) = if is_in_bucket && !found.address_refused {
            (None, "a bucket decides, which explain doesn't read".to_owned(), None)
        } else if depends {
            (None, "the right password is needed".to_owned(), None)
        } else if is_open {
            (found.status.or(Some(400)), found.reason, None)
        } else {
            // Computes the hash, which `explain` skips.
            let reply = auth.handle_zap_message(&frames).ok_or_else(unreadable)?;
            let text = |frame: usize| String::from_utf8_lossy(&reply[frame]).into_owned();
            let status = text(2).parse().ok();
            (status, text(3), (status == Some(200)).then(|| text(4)))
        };
        let reason = if status == Some(200) { "OK".to_owned() } else { reason };
        let key = credentials.first().filter(|_| mechanism == "CURVE").and_then(|key| <[u8; 32]>::try_from(*key).ok());
        let certificates = match (&found.store, key) {
            (Some(directory), Some(key)) => certificates_with(directory, &key.into())?,
            _ => Vec::new(),
        };
        let metadata = |name: &str| {
            let value = certificates.first().and_then(|(_, certificate)| certificate.metadata().get(name));
            value.map(str::to_owned)
        };
        Ok(Explained {
            outcome: match status {
                None if is_in_bucket => IN_BUCKET,
                None => "depends on the password",
                Some(200) => "accepted",
                Some(_) => REFUSED,
            },
            status,
            reason,
            user_id,
            address_rule: found.address_rule,
            address_refused: found.address_refused,
            domain: found.domain.map(|domain| match domain {
                MatchedDomain::Exact => self.domain.clone(),
                MatchedDomain::Any => "*".to_owned(),
            }),
            source: found.source.map(source_words),
            store: found.store,
            listed: found.listed.filter(|_| !is_in_bucket),
            not_before: metadata("not-before"),
            not_after: metadata("not-after"),
            files: certificates.into_iter().map(|(path, _)| path).collect(),
        })
    }

    fn text(&self, mechanism: &str, explained: &Explained) -> String {
        let mut lines = Vec::new();
        let address = match (&explained.address_rule, explained.address_refused) {
            (Some(rule), false) => format!("accepted by {rule:?}"),
            (Some(rule), true) => format!("refused by {rule:?}"),
            (None, false) => "no rule denies it".to_owned(),
            (None, true) => "no allow rule covers it: refused".to_owned(),
        };
        lines.push(("address", format!("{}: {address}", self.address.escape_debug())));
        let domain = match explained.domain.as_deref() {
            // Without a table, NULL clients are accepted, but not from this address.
            None if explained.address_refused => format!("no table for {mechanism} in {:?} or \"*\"", self.domain),
            None if mechanism == "NULL" => format!("no table for NULL in {:?} or \"*\": accepted", self.domain),
            None => format!("no table for {mechanism} in {:?} or \"*\": refused", self.domain),
            Some(domain) if domain == self.domain => format!("[domain.{domain:?}] decides about {mechanism}"),
            Some(_) => format!("[domain.\"*\"] decides about {mechanism} in {:?}", self.domain),
        };
        lines.push(("domain", domain));
        if let Some(source) = explained.source {
            let store =
                explained.store.as_deref().map(|store| format!(": {}", escape::path(store))).unwrap_or_default();
            lines.push(("source", format!("{source}{store}")));
        }
        match (mechanism, explained.listed) {
            ("CURVE", Some(true)) => {
                let files: Vec<_> = explained.files.iter().map(|file| escape::path(file)).collect();
                let found = if files.is_empty() { "is in the list".to_owned() } else { files.join(", ") };
                lines.push(("key", found));
            }
            ("CURVE", Some(false)) => lines.push(("key", "not found".to_owned())),
            ("PLAIN", Some(true)) => lines.push(("user", "found".to_owned())),
            ("PLAIN", Some(false)) => lines.push(("user", "not found".to_owned())),
            _ => {}
        }
        let times = [("not before", &explained.not_before), ("not after", &explained.not_after)];
        lines.extend(
            times.into_iter().filter_map(|(name, time)| Some((name, time.as_ref()?.escape_debug().to_string()))),
        );
        let outcome = match (&explained.user_id, explained.status) {
            (Some(user), _) if !user.is_empty() => format!("accepted (200), user id {user:?}"),
            (_, Some(200)) => "accepted (200)".to_owned(),
            (_, Some(status)) => format!("refused ({status}): {}", explained.reason),
            (_, None) if explained.outcome == IN_BUCKET => format!(
                "depends on the bucket, which explain doesn't read; to check: zmq-auth {}",
                match mechanism {
                    "PLAIN" => "passwd --verify --nats URL --bucket NAME --domain DOMAIN USER",
                    _ => "ls --nats URL --bucket NAME --domain DOMAIN --key KEY",
                }
            ),
            (_, None) => "accepted with the right password; to check one, use --stdin or --password-file".to_owned(),
        };
        lines.push(("outcome", outcome));
        lines.into_iter().map(|(name, text)| format!("{name:<11}{text}\n")).collect()
    }
}

const REFUSED: &str = "refused";
const IN_BUCKET: &str = "depends on the bucket";
/// The library's name for the credentials of a bucket.
const PUSHED: &str = "pushed credentials";

/// Whether this is an address as libzmq passes it to a handler: an IP address, or the identity of an ipc client.
fn is_address(text: &str) -> bool {
    if let Some(ids) = text.strip_prefix("localhost:") {
        let ids: Vec<_> = ids.split(':').collect();
        return ids.len() == 3 && ids.iter().all(|id| id.bytes().all(|byte| byte.is_ascii_digit()) && !id.is_empty());
    }
    match text.split_once('%') {
        Some((address, zone)) => address.parse::<Ipv6Addr>().is_ok() && !zone.is_empty() && !zone.contains('%'),
        None => text.parse::<IpAddr>().is_ok(),
    }
}

/// The operators' term for a source, given the library's.
fn source_words(source: &'static str) -> &'static str {
    match source {
        "a key directory" => "a directory",
        PUSHED => "a NATS bucket",
        other => other,
    }
}

/// The key given as Z85 text or as a certificate file.
fn key_of(text: &str) -> Result<PublicKey, Failure> {
    let path = Path::new(text);
    let not_a_key = match text.parse() {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    if path.exists() {
        return Ok(PublicKey::load(path)?);
    }
    Err(Failure::usage(format!("{}: no such file, and {not_a_key}", text.escape_debug()))
        .hint("Give a key of 40 characters in quotes, or a file such as alice.key."))
}

/// The certificates of a directory that have this key, sorted by name.
fn certificates_with(path: &Path, key: &PublicKey) -> Result<Vec<(PathBuf, Certificate)>, Failure> {
    let entries = directory::read(path)?.into_iter().filter(|entry| entry.has_key(key));
    Ok(entries.filter_map(|entry| Some((path.join(&entry.file), entry.certificate.ok()?))).collect())
}
