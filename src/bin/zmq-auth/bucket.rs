//! Commands on a NATS bucket instead of a directory or password file: options, connection, and hints on what to type
//! next.

pub(crate) mod add;
pub(crate) mod ls;
pub(crate) mod passwd;
pub(crate) mod revoke;

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use zeroize::Zeroizing;
use zmq_auth::{
    BucketEntry, Certificate, Error, LastChange, Metadata, NatsBucket, NatsWriter, Password, PublicKey, zeroize,
};

use crate::output::{Failure, note};
use crate::{escape, validity};

const HEADING: &str = "NATS bucket";

/// Where a bucket is, and how to log in there.
#[derive(clap::Args)]
pub(crate) struct NatsOptions {
    /// The NATS servers: nats://HOST:4222, or several, separated by commas; default: NATS_URL
    #[arg(long, value_name = "URL", requires = "bucket", help_heading = HEADING)]
    nats: Option<String>,
    /// The NATS bucket that the servers follow
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    bucket: Option<String>,
    /// A file with the login: user=password, the seed of an nkey, or a .creds file; default: NATS_CREDS, NATS_NKEY, or
    /// NATS_USER and NATS_PASSWORD
    #[arg(long, value_name = "FILE", requires = "bucket", help_heading = HEADING)]
    login: Option<PathBuf>,
    /// Require TLS, and trust the certificate authorities in this PEM file; default: NATS_CA
    #[arg(long, value_name = "FILE", requires = "bucket", help_heading = HEADING)]
    ca: Option<PathBuf>,
}

/// A bucket and a domain.
#[derive(clap::Args)]
pub(crate) struct BucketOptions {
    #[command(flatten)]
    nats: NatsOptions,
    /// The ZAP domain of the keys and users
    #[arg(long, requires = "bucket", help_heading = HEADING)]
    domain: Option<String>,
}

/// A domain of a bucket, open for writing.
pub(crate) struct Bucket {
    bucket: NatsBucket,
    pub(crate) writer: NatsWriter,
    pub(crate) domain: String,
    /// The options that select this bucket, for commands to type next.
    options: String,
    place: Place,
}

/// For `--json`.
#[derive(Serialize, Clone)]
pub(crate) struct Place {
    bucket: String,
    domain: String,
}

impl NatsOptions {
    pub(crate) fn bucket(&self) -> Result<NatsBucket, Failure> {
        let Some(name) = &self.bucket else {
            return Err(Failure::usage("no bucket was given").hint("Add --nats URL and --bucket NAME."));
        };
        let urls = self.nats.clone().map_or_else(|| variable("NATS_URL"), |urls| Ok(Some(urls)))?;
        let urls =
            urls.ok_or_else(|| Failure::usage("no NATS server was given").hint("Add --nats nats://HOST:4222."))?;
        let mut bucket = NatsBucket::new(&urls, name).map_err(failure)?;
        let files = [self.login.clone(), file_of("NATS_CREDS"), file_of("NATS_NKEY")];
        let ca = self.ca.clone().or_else(|| file_of("NATS_CA"));
        if let Some(file) = files.into_iter().flatten().next() {
            warn_of_mode(&file);
            bucket = bucket.login_file(file).map_err(|error| {
                Failure::from(error).hint(
                    "It has one line, user=password or the seed of an nkey, or it is a .creds file of NATS's tools.",
                )
            })?;
        } else if let Some((user, password)) = user_and_password()? {
            bucket = bucket.login(user, &password);
        }
        if let Some(file) = ca {
            if !file.is_file() {
                return Err(Failure::new(format!("{}: there is no such file", escape::path(&file))));
            }
            bucket = bucket.ca_file(file);
        }
        Ok(bucket)
    }

    pub(crate) fn name(&self) -> &str {
        self.bucket.as_deref().unwrap_or_default()
    }

    /// The options as they were typed.
    pub(crate) fn options(&self) -> String {
        let texts = [("nats", self.nats.as_deref()), ("bucket", self.bucket.as_deref())];
        let mut options: Vec<String> =
            texts.into_iter().filter_map(|(name, value)| Some(option(name, value?))).collect();
        for (name, file) in [("login", &self.login), ("ca", &self.ca)] {
            options.extend(file.as_ref().map(|file| format!("--{name} {}", escape::shell(file))));
        }
        options.join(" ")
    }
}

impl BucketOptions {
    pub(crate) fn is_given(&self) -> bool {
        self.nats.bucket.is_some()
    }

    /// Fails if an option that is only for buckets was given with a directory.
    pub(crate) fn require_none(&self) -> Result<(), Failure> {
        let NatsOptions { nats, login, ca, .. } = &self.nats;
        if nats.is_none() && login.is_none() && ca.is_none() && self.domain.is_none() {
            return Ok(());
        }
        Err(Failure::usage("--nats, --domain, --login and --ca are for a bucket").hint("Add --bucket NAME."))
    }

    /// Connects.
    pub(crate) fn open(&self) -> Result<Bucket, Failure> {
        let bucket = self.nats.bucket()?;
        let Some(domain) = &self.domain else {
            return Err(Failure::usage("no domain was given: a bucket has separate keys and users for each")
                .hint("Add --domain DOMAIN, the ZAP domain of the servers' sockets."));
        };
        let options = format!("{} {}", self.nats.options(), option("domain", domain));
        let place = Place { bucket: self.nats.name().to_owned(), domain: domain.clone() };
        let writer = bucket.writer().map_err(|error| match error {
            Error::Nats { action: "find the bucket", .. } => {
                Failure::from(error).hint(format!("To create it: zmq-auth create-bucket {}", self.nats.options()))
            }
            error => failure(error),
        })?;
        Ok(Bucket { bucket, writer, domain: domain.clone(), options, place })
    }

    /// Splits the positional arguments: a directory or file and something in it, or with a bucket the latter alone.
    pub(crate) fn split<T>(&self, first: T, second: Option<T>, usage: &str) -> Result<(Option<T>, T), Failure> {
        match (self.is_given(), second) {
            (false, Some(second)) => Ok((Some(first), second)),
            (true, None) => Ok((None, first)),
            (false, None) => Err(Failure::usage("neither a path nor a bucket was given").hint(usage)),
            (true, Some(_)) => {
                Err(Failure::usage("both a path and a bucket were given: give only one of them").hint(usage))
            }
        }
    }
}

impl Bucket {
    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    /// For people.
    pub(crate) fn words(&self) -> String {
        format!("bucket {}, domain {}", escape::text(&self.place.bucket), escape::text(&self.domain))
    }

    pub(crate) fn follow(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "The servers that follow the bucket apply this in a moment. To check: {}",
            self.command("status", "")
        )
    }

    pub(crate) fn no_such(&self, what: &str) -> Failure {
        Failure::new(format!("{} has no {what}; nothing was changed", self.words()))
            .hint(format!("To list what it has: {}", self.command("ls", "")))
    }

    /// A command on this bucket to type next.
    pub(crate) fn command(&self, verb: &str, rest: &str) -> String {
        format!("zmq-auth {verb} {} {rest}", self.options).trim_end().to_owned()
    }

    /// The command that writes a key's entry again, unless it has changed since this revision. `None` if no certificate
    /// can have this metadata, so that `add` would refuse it.
    pub(crate) fn add_command(&self, key: &PublicKey, metadata: &Metadata, revision: u64) -> Option<String> {
        let pairs: Vec<_> = metadata.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        certificate(key, &pairs).ok()?;
        let pairs = pairs.iter().map(|(name, value)| format!(" -m {}", escape::word(&format!("{name}={value}"))));
        let key = escape::word(&key.to_string());
        Some(self.command("add", &format!("--force --revision {revision} --key={key}{}", pairs.collect::<String>())))
    }

    /// The command that removes a key, unless it has changed since this revision.
    pub(crate) fn revoke_command(&self, key: &PublicKey, revision: u64) -> String {
        // A key may begin with a dash.
        self.command("revoke", &format!("--revision {revision} -- {}", escape::word(&key.to_string())))
    }

    /// The same bucket with a connection of its own, for another thread.
    pub(crate) fn connect_again(&self) -> Result<Bucket, Failure> {
        Ok(Bucket {
            bucket: self.bucket.clone(),
            writer: self.bucket.writer().map_err(failure)?,
            domain: self.domain.clone(),
            options: self.options.clone(),
            place: self.place.clone(),
        })
    }

    /// Fails if a key has changed since this revision.
    pub(crate) fn require_unchanged(&self, revision: u64, seen: Option<&LastChange>) -> Result<(), Failure> {
        if seen.map_or(0, |seen| seen.revision) == revision {
            return Ok(());
        }
        Err(Failure::new(format!("the key has changed since revision {revision}: {}; nothing was changed", told(seen)))
            .hint(format!("Look at it: {}", self.command("ls", ""))))
    }

    /// Writes a key if nothing else was written since `seen`, and returns the revision.
    pub(crate) fn put_key(
        &self,
        key: &PublicKey,
        metadata: &Metadata,
        seen: Option<&LastChange>,
    ) -> Result<u64, Failure> {
        let revision = seen.map_or(0, |seen| seen.revision);
        self.written(self.writer.replace_key(&self.domain, key, metadata, revision), || {
            self.writer.last_change_of_key(&self.domain, key)
        })
    }

    /// Writes a user, as [`put_key`](Self::put_key) does a key.
    pub(crate) fn put_user(&self, name: &str, hash: &str, seen: Option<&LastChange>) -> Result<u64, Failure> {
        let revision = seen.map_or(0, |seen| seen.revision);
        self.written(self.writer.replace_user(&self.domain, name, hash, revision), || {
            self.writer.last_change_of_user(&self.domain, name)
        })
    }

    /// Turns a conflict into an error that says what somebody else has done.
    pub(crate) fn written<T>(
        &self,
        result: zmq_auth::Result<T>,
        look: impl FnOnce() -> zmq_auth::Result<Option<LastChange>>,
    ) -> Result<T, Failure> {
        match result {
            Err(Error::Conflict { .. }) => {
                let now = look().map_err(failure)?;
                Err(Failure::new(format!("{}; nothing was changed", changed_meanwhile(now.as_ref())))
                    .hint(format!("Look at it again: {}", self.command("ls", ""))))
            }
            Err(error @ Error::Nats { .. }) => Err(failure(error)
                .hint(format!("The change may have been made or not. To see which: {}", self.command("ls", "")))),
            result => Ok(result?),
        }
    }
}

pub(crate) fn changed_meanwhile(now: Option<&LastChange>) -> String {
    format!("somebody else has changed it meanwhile: {}", told(now))
}

/// The last change of an entry for people, without the hash.
pub(crate) fn told(last: Option<&LastChange>) -> String {
    let Some(last) = last else { return "it has no entry".into() };
    let when = format!("at {} (revision {})", time(last.written), last.revision);
    match &last.entry {
        None => format!("it was revoked or deleted {when}"),
        Some(BucketEntry::Key { metadata, .. }) => format!("it was written {when}, with {}", pairs(metadata)),
        Some(_) => format!("it was written {when}"),
    }
}

/// A public certificate.
pub(crate) fn certificate(key: &PublicKey, metadata: &[(String, String)]) -> Result<Certificate, Failure> {
    let certificate = Certificate::parse(format!("curve\n    public-key = \"{key}\"\n").as_bytes(), "the certificate")?;
    let mut pairs = metadata.iter();
    Ok(pairs.try_fold(certificate, |certificate, (name, value)| certificate.with_metadata(name, value))?)
}

/// Metadata for people.
pub(crate) fn pairs(metadata: &Metadata) -> String {
    let pairs: Vec<_> = metadata.iter().map(|(name, value)| escape::text(&format!("{name}={value}"))).collect();
    if pairs.is_empty() { "no metadata".into() } else { pairs.join(", ") }
}

pub(crate) fn time(time: SystemTime) -> String {
    Timestamp::try_from(time).map(validity::rfc_3339).unwrap_or_default()
}

/// Adds a hint on what to do about the error.
pub(crate) fn failure(error: Error) -> Failure {
    let hint = match &error {
        Error::Nats { action: "connect", problem } if problem.contains("uthorization") => {
            "The login is wrong, or none was given. To give one: --login FILE."
        }
        Error::Nats { action: "connect", .. } => {
            "Is a NATS server running there? If it requires TLS, and its certificate is from your own authority: --ca FILE."
        }
        Error::Nats { action: "use the URL", .. } => {
            "Write --nats nats://HOST:4222, and put the login into a file: --login FILE."
        }
        _ => return error.into(),
    };
    Failure::from(error).hint(hint)
}

/// From now on, writes the problems of followers to standard error.
pub(crate) fn tell_of_contact() {
    static TOLD: Told = Told;
    if log::set_logger(&TOLD).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
}

struct Told;

impl log::Log for Told {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::Level::Warn
    }

    // Everything else that the library logs also arrives as events.
    fn log(&self, record: &log::Record<'_>) {
        if record.module_path().is_some_and(|module| module.starts_with("zmq_auth::nats")) {
            note(format_args!("warning: {}", record.args()));
        }
    }

    fn flush(&self) {}
}

fn option(name: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!("--{name}{between}{}", escape::word(value))
}

fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{name} is not valid UTF-8"))),
    }
}

fn file_of(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| value != OsStr::new("")).map(PathBuf::from)
}

fn user_and_password() -> Result<Option<(String, Password)>, Failure> {
    let password = variable("NATS_PASSWORD")?.map(Zeroizing::new);
    match (variable("NATS_USER")?, password) {
        (Some(user), Some(password)) => Ok(Some((user, Password::from(password)))),
        (None, None) => Ok(None),
        _ => {
            Err(Failure::usage("only one of NATS_USER and NATS_PASSWORD is set").hint("Set both, or use --login FILE."))
        }
    }
}

fn warn_of_mode(file: &Path) {
    let mode = file.metadata().map_or(0, |metadata| metadata.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        note(format_args!(
            "warning: {} has a login, and users other than its owner may read it (mode {mode:03o}): chmod 600",
            escape::path(file)
        ));
    }
}
