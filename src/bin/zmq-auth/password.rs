//! Reading passwords: typed without echo, from standard input or from a file, never from an argument.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use zeroize::Zeroizing;
use zmq_auth::zeroize;

use crate::output::Failure;
use crate::{escape, terminal};

/// Where a password comes from; without either, it is asked for at the terminal.
#[derive(clap::Args)]
pub(crate) struct PasswordSource {
    /// Read the password from standard input: its first line
    #[arg(long)]
    stdin: bool,
    /// Read the password from a file: its first line
    #[arg(long, value_name = "FILE", conflicts_with = "stdin")]
    password_file: Option<PathBuf>,
}

impl PasswordSource {
    /// Whether it comes from a file or standard input.
    pub(crate) fn is_given(&self) -> bool {
        self.stdin || self.password_file.is_some()
    }

    pub(crate) fn read(&self, prompt: &str) -> Result<Zeroizing<String>, Failure> {
        if let Some(file) = &self.password_file {
            let failed = |error| Failure::new(format!("{}: cannot read the password: {error}", escape::path(file)));
            return first_line(std::fs::File::open(file).map_err(failed)?).map_err(failed);
        }
        if self.stdin {
            let failed = |error| Failure::new(format!("cannot read the password from standard input: {error}"));
            return first_line(io::stdin().lock()).map_err(failed);
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage("a password is needed, and there is no terminal to ask for it")
                .hint("Give it with --stdin or --password-file FILE."));
        }
        let typed = terminal::with_echo_restored(|| rpassword::prompt_password(prompt));
        typed.map(Zeroizing::new).map_err(|error| Failure::new(format!("cannot read the password: {error}")))
    }

    /// As [`read`](Self::read), but a typed password must be typed twice.
    pub(crate) fn read_new(&self, prompt: &str) -> Result<Zeroizing<String>, Failure> {
        let password = self.read(prompt)?;
        if !self.is_given() && self.read("The same again: ")? != password {
            return Err(Failure::new("the two passwords differ; nothing was changed"));
        }
        Ok(password)
    }
}

/// Reads the first line, without its end (LF or CRLF, which may be missing). A PLAIN password has at most 255 bytes, so
/// the buffer never grows, which would leave copies of the password in memory.
fn first_line(mut source: impl Read) -> io::Result<Zeroizing<String>> {
    let mut buffer = Zeroizing::new([0_u8; 1024]);
    let mut length = 0;
    while length < buffer.len() && !buffer[..length].contains(&b'\n') {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let line = buffer[..length].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line);
    text.map(|text| Zeroizing::new(text.to_owned())).map_err(|_| io::Error::other("it is not UTF-8"))
}
