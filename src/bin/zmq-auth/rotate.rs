//! `zmq-auth rotate`: makes a new key pair for a user, and lets the old key expire after an overlap.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use zmq_auth::{Certificate, Error, PublicKey};

use crate::file::Owner;
use crate::output::{Exit, Failure, Output};
use crate::validity::{self, NOT_AFTER, NOT_BEFORE, State, Validity};
use crate::{directory, escape, file, time};

const AFTER_HELP: &str = "\
Example:
  zmq-auth rotate alice -d clients -o for-alice --overlap 30d

User ids:
  If the server takes the user id from the metadata, it is the same for both keys. If it takes it
  from the file's name, the new key's is NAME and the old one's NAME.until-DATE. If programs depend
  on that name, use --as, and rename the files when the client has changed its key.";

/// Make a new key pair for a user, and let the old key expire
///
/// The new pair has the old certificate's metadata, is valid from now on, and takes over the name NAME. The old public file
/// becomes NAME.until-DATE.key and expires after the overlap; an old secret file beside the new pair becomes
/// NAME.until-DATE.key_secret. With --as, the old files keep their names, and the new pair gets the name given.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Rotate {
    /// The user's certificate, NAME.key
    name: String,
    /// The server's directory, which has the old public file and gets the new one
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// The directory for the new pair, which is for the client
    #[arg(short, long = "output", value_name = "DIR", default_value = ".")]
    output_directory: PathBuf,
    /// How long the old key is still accepted, such as 30d
    #[arg(long, value_name = "TIME", value_parser = time::span)]
    overlap: SignedDuration,
    /// When the new certificate expires; by default never
    #[arg(long, value_name = "TIME", value_parser = time::point)]
    not_after: Option<Timestamp>,
    /// The name of the new pair, so that the old files keep theirs
    #[arg(long = "as", value_name = "NAME")]
    new_name: Option<String>,
}

#[derive(Serialize)]
struct Rotated {
    new: Key,
    old: Key,
    /// The client's secret file.
    #[serde(serialize_with = "escape::json")]
    secret_file: PathBuf,
    /// Where the old secret file is now, if it was beside the new one and had to be renamed.
    #[serde(serialize_with = "escape::json_option")]
    old_secret_file: Option<PathBuf>,
    /// The copy of the old public file.
    #[serde(serialize_with = "escape::json")]
    kept: PathBuf,
    /// Shell commands that undo all of it.
    undo: Vec<String>,
}

#[derive(Serialize)]
struct Key {
    /// Z85.
    public_key: String,
    /// The public file for the server.
    #[serde(serialize_with = "escape::json")]
    file: PathBuf,
    /// RFC 3339.
    not_before: Option<String>,
    /// RFC 3339.
    not_after: Option<String>,
}

/// The files to be written.
struct Plan {
    old_name: String,
    new_name: String,
    old_key: PublicKey,
    /// The content of the old public file, with its new end.
    old_text: String,
    /// The owner of the old public file, who will own both.
    owner: Option<Owner>,
    new: Certificate,
}

/// The steps done so far, to be undone if a later one fails.
#[derive(Default)]
struct Steps {
    renamed: Vec<(PathBuf, PathBuf)>,
    made: Vec<PathBuf>,
}

impl Rotate {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        directory::check_name(&self.name)?;
        self.new_name.as_deref().map_or(Ok(()), directory::check_name)?;
        if self.new_name.as_ref() == Some(&self.name) {
            return Err(Failure::usage("--as is the old name: leave it out, or give another one"));
        }
        for directory in [&self.directory, &self.output_directory] {
            file::require_directory(directory)?;
        }
        let _lock = file::lock(&self.directory)?;
        let now = Timestamp::now();
        let old_path = self.public(&self.name);
        let old = self.load(&old_path, now)?;
        self.require_alone(&old.public_key())?;
        let end = now.checked_add(self.overlap).map_err(|_| Failure::usage("the overlap ends after the year 9999"))?;
        // A rotation never extends a key's validity.
        let end = Validity::of(old.metadata()).map_err(Failure::new)?.not_after.map_or(end, |until| until.min(end));
        let until = end.strftime("%Y-%m-%d").to_string();

        let old_name = match &self.new_name {
            Some(_) => self.name.clone(),
            None => format!("{}.until-{until}", self.name),
        };
        let new_name = self.new_name.clone().unwrap_or_else(|| self.name.clone());
        let ending = old.clone().with_metadata(NOT_AFTER, validity::rfc_3339(end))?;
        let new = self.renewed(&old, now)?;
        let owner = file::owner(&old_path);
        let plan = Plan { old_name, new_name, old_key: old.public_key(), old_text: ending.public_text()?, owner, new };

        let mut steps = Steps::default();
        let done = file::uninterrupted(|| {
            let file = OsString::from(format!("{}.key", self.name));
            let kept = directory::keep_copy(tidy(&self.directory), &file)
                .map_err(|error| Failure::new(format!("{}: cannot keep a copy: {error}", escape::path(&old_path))))?;
            steps.made.push(kept.clone());
            let done = self.put_in_place(&mut steps, &plan);
            if done.is_err() {
                steps.take_back();
            }
            done.map(|secret_file| {
                let old_secret = steps.renamed.iter().map(|(_, to)| to).find(|to| is_secret(to));
                if let Some((user, group)) = old_secret.and_then(|old| file::owner(old)) {
                    // If that isn't allowed, the current user stays the owner.
                    let _ = chown(&secret_file, Some(user), Some(group));
                }
                (secret_file, kept)
            })
        });
        let (secret_file, kept) = done?;
        let mut undo = vec![shell_move(&kept, &old_path)];
        let Plan { old_name, new_name, new, .. } = &plan;
        let unwanted = if self.new_name.is_some() { new_name } else { old_name };
        // Undoing also removes the new pair, whose secret key would be useless.
        let mut new_files = vec![self.public(unwanted), secret_file.clone()];
        if !same(&self.directory, &self.output_directory) {
            new_files.push(secret_file.with_extension("key"));
        }
        let new_files: Vec<_> = new_files.iter().map(|file| escape::shell(file)).collect();
        undo.push(format!("rm {}", new_files.join(" ")));
        undo.extend(steps.renamed.iter().map(|(from, to)| shell_move(to, from)));
        let old_secret_file = steps.renamed.iter().map(|(_, to)| to).find(|to| is_secret(to)).cloned();
        let rotated = Rotated {
            new: key(new, self.public(new_name)),
            old: key(&ending, self.public(old_name)),
            secret_file,
            old_secret_file,
            kept,
            undo,
        };
        self.write(output, &rotated, old_name, new_name)?;
        Ok(Exit::Done)
    }

    fn public(&self, name: &str) -> PathBuf {
        tidy(&self.directory).join(format!("{name}.key"))
    }

    fn load(&self, path: &Path, now: Timestamp) -> Result<Certificate, Failure> {
        let old = Certificate::load(path).map_err(|error| match error {
            Error::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Failure::from(error).hint("Name the server's directory with -d.")
            }
            other => other.into(),
        })?;
        let shown = escape::path(path);
        if old.key_pair().is_some() {
            return Err(Failure::new(format!("{shown} contains a secret key, which a server must not have"))
                .hint("Others may have seen it: make a new pair with keygen, and revoke this one."));
        }
        let validity = Validity::of(old.metadata()).map_err(|problem| Failure::new(format!("{shown}: {problem}")))?;
        match validity.state(now) {
            State::Valid => Ok(old),
            state => {
                Err(Failure::new(format!("{shown} is {state}: there is nothing to overlap with; nothing was changed"))
                    .hint("Make a new pair with keygen."))
            }
        }
    }

    /// Fails if another file has the old key, which would then be accepted after the overlap.
    fn require_alone(&self, key: &PublicKey) -> Result<(), Failure> {
        let file = format!("{}.key", self.name);
        let others = directory::read(&self.directory)?;
        let others = others.iter().filter(|entry| entry.file != *file && entry.has_key(key));
        let names: Vec<_> = others.map(directory::Entry::name).collect();
        if names.is_empty() {
            return Ok(());
        }
        let message = format!("other files have the key of {} too: {}", escape::text(&file), names.join(", "));
        Err(Failure::new(message).hint("It would not expire after the overlap. Remove those files first."))
    }

    /// A new pair with the old certificate's metadata.
    fn renewed(&self, old: &Certificate, now: Timestamp) -> Result<Certificate, Failure> {
        if self.not_after.is_some_and(|until| until <= now) {
            return Err(Failure::usage("--not-after is in the past"));
        }
        let mut new = Certificate::generate()?;
        for (name, value) in old.metadata().iter().filter(|(name, _)| ![NOT_BEFORE, NOT_AFTER].contains(name)) {
            new = new.with_metadata(name, value)?;
        }
        new = new.with_metadata(NOT_BEFORE, validity::rfc_3339(now))?;
        if let Some(until) = self.not_after {
            new = new.with_metadata(NOT_AFTER, validity::rfc_3339(until))?;
        }
        Ok(new)
    }

    /// Writes the files. At every moment, the old public file exists in its old or new form.
    fn put_in_place(&self, steps: &mut Steps, plan: &Plan) -> Result<PathBuf, Failure> {
        let Plan { old_name, new_name, old_key, old_text, owner, new } = plan;
        let new_text = new.public_text()?;
        let same_directory = same(&self.directory, &self.output_directory);
        let output = tidy(&self.output_directory);
        if self.new_name.is_none() {
            require_free(&self.public(old_name))?;
            // The client's own copies of the old pair, if they are here.
            let ours = if same_directory { &["key_secret"][..] } else { &["key_secret", "key"] };
            for ending in ours {
                let from = output.join(format!("{new_name}.{ending}"));
                if has_key(&from, old_key) {
                    steps.rename(from, output.join(format!("{old_name}.{ending}")))?;
                }
            }
            steps.make(&self.public(old_name), old_text, *owner)?;
        }
        if same_directory && self.new_name.is_none() {
            // Only the public file is replaced: the secret one has been renamed, or wasn't there.
            let secret = output.join(format!("{new_name}.key_secret"));
            if secret.symlink_metadata().is_ok() {
                return Err(Failure::new(format!(
                    "{}: exists already, with another key; nothing was changed",
                    escape::path(&secret)
                ))
                .hint("Give another directory for the new pair with -o."));
            }
            let (public_file, secret_file) = new.replace_full_pair(output, new_name)?;
            // Errors are ignored: the pair is already in place, and `old_text` was given the same owner before.
            let _ = fs::set_permissions(&public_file, Permissions::from_mode(0o644));
            if let Some((user, group)) = *owner {
                let _ = chown(&public_file, Some(user), Some(group));
            }
            return Ok(secret_file);
        }
        let (public_file, secret_file) = new.save_full_pair(output, new_name).map_err(|error| match error {
            Error::Exists { path } => {
                Failure::new(format!("{}: exists already; nothing was changed", escape::path(&path)))
                    .hint("Give another directory for the new pair with -o.")
            }
            other => other.into(),
        })?;
        steps.made.extend([public_file, secret_file.clone()]);
        if self.new_name.is_some() {
            if !same_directory {
                steps.make(&self.public(new_name), &new_text, *owner)?;
            }
            file::replace_owned(&self.public(old_name), old_text.as_bytes(), 0o644, *owner)?;
        } else {
            file::replace_owned(&self.public(new_name), new_text.as_bytes(), 0o644, *owner)?;
        }
        Ok(secret_file)
    }

    fn write(&self, output: &Output, rotated: &Rotated, old_name: &str, new_name: &str) -> Result<(), Failure> {
        let (new, old) = (&rotated.new, &rotated.old);
        let from = new.not_before.as_deref().unwrap_or_default();
        let until = old.not_after.as_deref().unwrap_or_default();
        output.write(rotated, |out| {
            writeln!(out, "new: {}, valid from {from}", new.public_key)?;
            writeln!(out, "old: {}, valid until {until}", old.public_key)?;
            writeln!(out)?;
            let (new_file, old_file) = (escape::path(&new.file), escape::path(&old.file));
            writeln!(out, "Copy to the server's directory, unless it is this one: {new_file} and {old_file}")?;
            writeln!(out, "Send to the client, over a secure channel: {}", escape::path(&rotated.secret_file))?;
            if let Some(old_secret) = &rotated.old_secret_file {
                writeln!(out, "The client's old secret file is now {}", escape::path(old_secret))?;
            }
            writeln!(out)?;
            let (old_name, new_name) = (escape::text(old_name), escape::text(new_name));
            writeln!(
                out,
                "User ids: the same for both if taken from the metadata; {new_name} and {old_name} if from the file's name."
            )?;
            writeln!(out, "After {until}: rm {}", escape::shell(&old.file))?;
            rotated.undo.iter().try_for_each(|command| writeln!(out, "Undo: {command}"))
        })
    }
}

impl Steps {
    fn make(&mut self, path: &Path, text: &str, owner: Option<Owner>) -> Result<(), Failure> {
        require_free(path)?;
        file::create(path, text.as_bytes(), 0o644, owner)?;
        self.made.push(path.to_owned());
        Ok(())
    }

    /// Renames a file, but never over another one: by a hard link, which fails if the name is taken.
    fn rename(&mut self, from: PathBuf, to: PathBuf) -> Result<(), Failure> {
        let renamed =
            fs::hard_link(&from, &to).and_then(|()| fs::remove_file(&from).inspect_err(|_| drop(fs::remove_file(&to))));
        renamed.map_err(|error| {
            Failure::new(format!("{}: cannot rename it to {}: {error}", escape::path(&from), escape::path(&to)))
                .hint("Nothing was changed.")
        })?;
        self.renamed.push((from, to));
        Ok(())
    }

    fn take_back(&self) {
        self.made.iter().for_each(|path| drop(fs::remove_file(path)));
        self.renamed.iter().for_each(|(from, to)| drop(fs::rename(to, from)));
    }
}

fn require_free(path: &Path) -> Result<(), Failure> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Failure::new(format!("{}: exists already; nothing was changed", escape::path(path)))
        .hint("Was the key already rotated today? Revoke that file, or give another overlap."))
}

fn key(certificate: &Certificate, file: PathBuf) -> Key {
    let time = |name| certificate.metadata().get(name).map(str::to_owned);
    let public_key = certificate.public_key().to_string();
    Key { public_key, file, not_before: time(NOT_BEFORE), not_after: time(NOT_AFTER) }
}

fn has_key(path: &Path, key: &PublicKey) -> bool {
    PublicKey::load(path).is_ok_and(|found| found == *key)
}

fn shell_move(from: &Path, to: &Path) -> String {
    format!("mv {} {}", escape::shell(from), escape::shell(to))
}

fn is_secret(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "key_secret")
}

fn same(one: &Path, other: &Path) -> bool {
    fs::canonicalize(one).ok().zip(fs::canonicalize(other).ok()).is_some_and(|(one, other)| one == other)
}

/// The directory; empty instead of `.`, which would otherwise precede every file name in the output.
fn tidy(directory: &Path) -> &Path {
    if directory == Path::new(".") { Path::new("") } else { directory }
}
