//! `zmq-auth passwd`: manages the users of a password file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;
use zmq_auth::{Authenticator, Password, PasswordFile, zeroize};

use crate::bucket::BucketOptions;
use crate::output::{Exit, Failure, Output, note};
use crate::password::PasswordSource;
use crate::{escape, file};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// The largest password file that the library reads.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Set, check or delete the password of a user in a password file, or in a NATS bucket
///
/// The password is stored as an argon2id hash. The file is created if it doesn't exist. It is replaced as a whole, with mode
/// 600, and keeps its owner; all other lines stay unchanged.
#[derive(Args)]
#[command(
    override_usage = "zmq-auth passwd [OPTIONS] FILE USER\n       \
                      zmq-auth passwd [OPTIONS] --nats URL --bucket NAME --domain DOMAIN USER",
    after_help = "Examples:\n  zmq-auth passwd passwords alice\n  \
                  zmq-auth passwd --nats nats://10.0.0.1 --bucket clients --domain lab --login admin.login alice"
)]
pub(crate) struct Passwd {
    /// The password file: lines of user=password; with --bucket, the user
    #[arg(value_name = "FILE")]
    first: OsString,
    /// The user
    #[arg(value_name = "USER")]
    second: Option<OsString>,
    /// Check the password: exit code 0 if it is right, 1 if it is wrong
    #[arg(long, conflicts_with = "delete")]
    verify: bool,
    /// Delete the user
    #[arg(long, conflicts_with_all = ["stdin", "password_file"])]
    delete: bool,
    #[command(flatten)]
    password: PasswordSource,
    #[command(flatten)]
    bucket: BucketOptions,
}

const USAGE: &str =
    "Write: zmq-auth passwd FILE USER, or zmq-auth passwd --nats URL --bucket NAME --domain DOMAIN USER.";

/// A user of a password file.
struct InFile {
    file: PathBuf,
    user: String,
    verify: bool,
    delete: bool,
    password: PasswordSource,
}

#[derive(Serialize)]
struct Changed {
    #[serde(serialize_with = "escape::json")]
    file: PathBuf,
    user: String,
    /// `added`, `changed` or `deleted`.
    action: &'static str,
}

#[derive(Serialize)]
struct Verified {
    #[serde(serialize_with = "escape::json")]
    file: PathBuf,
    user: String,
    /// Whether the password is right.
    right: bool,
    /// Whether the file has the user.
    exists: bool,
}

impl Passwd {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let Passwd { first, second, verify, delete, password, bucket } = self;
        let (file, user) = bucket.split(first, second, USAGE)?;
        let user = user.into_string().map_err(|_| Failure::usage("the user's name is not valid UTF-8"))?;
        let Some(file) = file else {
            let bucket = bucket.open()?;
            return match (verify, delete) {
                (true, _) => bucket.verify_user(&user, &password, output),
                (_, true) => bucket.delete_user(&user, output),
                _ => bucket.set_password(&user, &password, output),
            };
        };
        InFile { file: file.into(), user, verify, delete, password }.run(output)
    }
}

impl InFile {
    fn run(self, output: &Output) -> Result<Exit, Failure> {
        if self.verify {
            return self.run_verify(output);
        }
        let path = file::target(&self.file)?;
        // Fails before asking for the password.
        Content::read(&path, &self.file, !self.delete)?;
        let line = if self.delete { None } else { Some(self.new_line()?) };
        let _lock = file::lock(file::directory(&path))?;
        let old = Content::read(&path, &self.file, !self.delete)?;
        let place = old.place(&self.user);
        let action = match (&line, &place) {
            (None, None) => return Err(self.no_user()),
            (None, Some(_)) => "deleted",
            (Some(_), None) => "added",
            (Some(_), Some(_)) => "changed",
        };
        file::replace_owned(&path, &old.with(place, line.as_deref().map(String::as_bytes)), 0o600, old.owner)?;
        let changed = Changed { file: self.file.clone(), user: self.user.clone(), action };
        output.write(&changed, |out| {
            writeln!(out, "{}: {action} in {}.", escape::text(&self.user), escape::path(&self.file))?;
            writeln!(out, "A server that watches the file reads it within a second; any other, at its next reload.")?;
            match action {
                "added" => Ok(()),
                _ => writeln!(out, "Connected clients stay connected."),
            }
        })?;
        if let Some(mode) = old.mode.filter(|mode| *mode != 0o600) {
            note(format_args!("note: the file's mode was {mode:03o} and is now 600: only its owner can read it"));
        }
        Ok(Exit::Done)
    }

    fn new_line(&self) -> Result<Zeroizing<String>, Failure> {
        // Checks the name before asking for the password.
        PasswordFile::line(&self.user, &Password::from("any"))?;
        let prompt = format!("New password for {}: ", escape::text(&self.user));
        let password = Password::from(self.password.read_new(&prompt)?);
        Ok(Zeroizing::new(PasswordFile::line(&self.user, &password)?))
    }

    fn no_user(&self) -> Failure {
        let (user, file) = (escape::text(&self.user), escape::path(&self.file));
        Failure::new(format!("{file} has no user {user}; nothing was changed"))
    }

    fn run_verify(self, output: &Output) -> Result<Exit, Failure> {
        let users = PasswordFile::open(&self.file).map_err(|error| unusable(&error, &self.file))?;
        let exists = Content::read(&self.file, &self.file, false)?.place(&self.user).is_some();
        let password = Password::from(self.password.read(&format!("Password of {}: ", escape::text(&self.user)))?);
        let authenticator = Authenticator::new();
        authenticator.configure_plain_file("*", &users)?;
        let right = is_right(&authenticator, &self.user, &password)?;
        let verified = Verified { file: self.file.clone(), user: self.user.clone(), right, exists };
        output.write(&verified, |out| match (right, exists) {
            (true, _) => writeln!(out, "right"),
            (false, true) => writeln!(out, "wrong"),
            (false, false) => {
                writeln!(out, "wrong: {} has no user {}", escape::path(&self.file), escape::text(&self.user))
            }
        })?;
        Ok(if right { Exit::Done } else { Exit::Found })
    }
}

/// Whether a server would accept this password.
pub(crate) fn is_right(authenticator: &Authenticator, user: &str, password: &Password) -> Result<bool, Failure> {
    let request = [b"1.0", &b"1"[..], b"", b"127.0.0.1", b"", b"PLAIN", user.as_bytes(), password.as_bytes()];
    let reply = authenticator.handle_zap_message(&request).unwrap_or_default();
    match reply.get(2).map(Vec::as_slice) {
        Some(b"200") => Ok(true),
        Some(b"400") => Ok(false),
        _ => Err(Failure::new("the password could not be checked: not enough memory or time")),
    }
}

/// A password file that the library accepts.
struct Content {
    bytes: Zeroizing<Vec<u8>>,
    owner: Option<(u32, u32)>,
    mode: Option<u32>,
}

impl Content {
    /// `shown` is the path as the user typed it.
    fn read(path: &Path, shown: &Path, may_be_missing: bool) -> Result<Self, Failure> {
        match PasswordFile::open(path) {
            Ok(_) => {}
            Err(zmq_auth::Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound && may_be_missing => {
                file::require_directory(file::directory(path))?;
                return Ok(Content { bytes: Zeroizing::new(Vec::new()), owner: None, mode: None });
            }
            Err(error) => return Err(unusable(&error, shown)),
        }
        let failed = |error| Failure::new(format!("{}: cannot read: {error}", escape::path(shown)));
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        // The right size from the start: a growing buffer would leave copies of passwords in memory.
        let size = metadata.len().min(MAX_FILE);
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
        file.take(size).read_to_end(&mut bytes).map_err(failed)?;
        let owner = Some((metadata.uid(), metadata.gid()));
        Ok(Content { bytes, owner, mode: Some(metadata.permissions().mode() & 0o777) })
    }

    /// The range of the user's line, without the line end.
    fn place(&self, user: &str) -> Option<std::ops::Range<usize>> {
        let mut start = if self.bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        for line in self.bytes[start..].split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            let name = text.split(|byte| *byte == b'=').next().unwrap_or_default();
            if !text.starts_with(b"#") && text.len() > name.len() && name == user.as_bytes() {
                return Some(start..start + text.len());
            }
            start += line.len();
        }
        None
    }

    /// The content with the line in this place, or else at the end; without the line at this place for `None`.
    fn with(&self, place: Option<std::ops::Range<usize>>, line: Option<&[u8]>) -> Zeroizing<Vec<u8>> {
        let old = &self.bytes[..];
        let end: &[u8] = if old.windows(2).any(|pair| pair == b"\r\n") { b"\r\n" } else { b"\n" };
        let mut new = Zeroizing::new(Vec::with_capacity(old.len() + line.map_or(0, <[u8]>::len) + 4));
        match (place, line) {
            (Some(place), Some(line)) => {
                new.extend_from_slice(&old[..place.start]);
                new.extend_from_slice(line);
                new.extend_from_slice(&old[place.end..]);
            }
            (Some(place), None) => {
                let rest = &old[place.end..];
                let after = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
                new.extend_from_slice(&old[..place.start]);
                new.extend_from_slice(&rest[after..]);
            }
            (None, line) => {
                new.extend_from_slice(old);
                if !old.is_empty() && old != BYTE_ORDER_MARK && !old.ends_with(b"\n") {
                    new.extend_from_slice(end);
                }
                if let Some(line) = line {
                    new.extend_from_slice(line);
                    new.extend_from_slice(end);
                }
            }
        }
        new
    }
}

/// The library's error, with the path as the user typed it instead of the absolute one.
fn unusable(error: &zmq_auth::Error, shown: &Path) -> Failure {
    let shown = escape::path(shown);
    match error {
        zmq_auth::Error::PasswordFile { line: Some(line), problem, .. } => {
            Failure::new(format!("{shown}:{line}: {problem}"))
                .hint("Correct that line first. The file was not changed.")
        }
        zmq_auth::Error::PasswordFile { line: None, problem, .. } => Failure::new(format!("{shown}: {problem}")),
        zmq_auth::Error::Io { action, source, .. } => Failure::new(format!("{shown}: cannot {action}: {source}")),
        other => Failure::new(format!("{shown}: {other}")),
    }
}
