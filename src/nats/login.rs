//! Logins at a NATS server, and the files that contain them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use async_nats::ConnectOptions;

use crate::error::{Error, Result};
use crate::plain::Password;
use crate::reload::read_file;

#[derive(Clone)]
pub(super) enum Login {
    Password(String, Password),
    /// Read for each connection, since the file may change at any time.
    File(PathBuf),
}

impl Login {
    /// Adds this login to the options.
    pub(super) fn give(&self, options: ConnectOptions) -> Result<ConnectOptions> {
        match self {
            Login::Password(user, password) => {
                let password = std::str::from_utf8(password.as_bytes());
                let password = password
                    .map_err(|_| Error::Nats { action: "log in", problem: "the password is no UTF-8".into() })?;
                Ok(options.user_and_password(user.clone(), password.to_owned()))
            }
            Login::File(path) => read(path, options),
        }
    }

    /// # Errors
    /// [`Error::Io`] or [`Error::PasswordFile`], as for a connection, if the file can't be used.
    pub(super) fn of_file(path: PathBuf) -> Result<Self> {
        read(&path, ConnectOptions::new())?;
        let mode = fs::metadata(&path).map_or(0, |metadata| metadata.permissions().mode()) & 0o777;
        if mode & 0o077 != 0 {
            log_warn!("{path:?} holds a login, and others than its owner have access (mode {mode:03o}): chmod 600");
        }
        Ok(Login::File(path))
    }
}

fn read(path: &Path, options: ConnectOptions) -> Result<ConnectOptions> {
    let fault = |path: &Path, line, problem| Error::PasswordFile { path: path.to_owned(), line, problem };
    let content = read_file(path, fault)?;
    let refused = || fault(path, Some(1), "is neither user=password, nor an nkey's seed, nor a NATS credentials file");
    let text = std::str::from_utf8(&content).map_err(|_| refused())?;
    if text.contains("-----BEGIN NATS USER JWT-----") {
        return options.credentials(text).map_err(|_| fault(path, None, "isn't a NATS credentials file"));
    }
    let text = text.trim_end_matches(['\n', '\r']);
    if text.contains('\n') {
        return Err(refused());
    }
    match text.split_once('=') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() => {
            Ok(options.user_and_password(user.to_owned(), password.to_owned()))
        }
        // A user's seed: 58 characters of base32. A wrong one fails when it signs.
        None if text.starts_with("SU") && text.len() == 58 => Ok(options.nkey(text.to_owned())),
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_file_is_one_of_three_and_everything_else_is_refused_without_being_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("login");
        let seed = "SUAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM";
        let credentials = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        for good in ["server-1=a=b c\n", &format!("{seed}\n"), &credentials] {
            fs::write(&path, good).unwrap();
            assert!(Login::of_file(path.clone()).is_ok(), "{good}");
        }
        let torn = credentials.replace(seed, "");
        for bad in ["", "\n", "secret", "=secret", "server-1=", "server-1=secret\nmore", &seed[..57], &torn] {
            fs::write(&path, bad).unwrap();
            let Err(error) = Login::of_file(path.clone()) else { panic!("{bad}") };
            assert!(matches!(error, Error::PasswordFile { .. }) && !error.to_string().contains("secret"), "{error}");
        }
        assert!(Login::of_file(directory.path().join("nowhere")).is_err());
    }
}
