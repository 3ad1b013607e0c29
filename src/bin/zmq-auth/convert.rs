//! `zmq-auth convert`: converts keys and certificates from one format to another.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use jiff::ZonedDateTime;
use serde::Serialize;
use zeroize::Zeroizing;
use zmq_auth::{Certificate, KeyPair, PublicKey, SecretKey, zeroize};

use crate::key_input::{self, Format, Input};
use crate::output::{Exit, Failure, Output};
use crate::{escape, file};

/// Convert keys and certificates: pyzmq, czmq, Z85, hexadecimal digits, base64
///
/// Without --secret, only a certificate's public key is written. Nothing shows whether a raw key is public or secret: it is
/// taken as public unless --secret is given, so a raw secret key would be written out. Metadata is kept if the format has
/// any.
#[derive(Args)]
#[command(after_help = "Example:\n  zmq-auth convert alice.key_secret --to czmq --secret -o alice_secret")]
pub(crate) struct Convert {
    /// A certificate or a key; - for standard input
    file: PathBuf,
    /// The format to write
    #[arg(long, value_name = "FORMAT")]
    to: Format,
    /// The format to read; by default it is detected
    #[arg(long, value_name = "FORMAT")]
    from: Option<Format>,
    /// The file to write, instead of standard output
    #[arg(short, long = "output", value_name = "FILE")]
    output_file: Option<PathBuf>,
    /// Write the secret key; a file with it has mode 600
    #[arg(long)]
    secret: bool,
    /// Replace an existing file
    #[arg(long, requires = "output_file")]
    force: bool,
}

#[derive(Serialize)]
struct Converted<'a> {
    format: Format,
    /// Z85.
    public_key: String,
    /// Whether the secret key was written.
    secret: bool,
    /// The file that was written; null for standard output.
    #[serde(serialize_with = "escape::json_option")]
    file: Option<&'a PathBuf>,
    /// What was written to standard output; null for a file.
    text: Option<&'a str>,
}

impl Convert {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let certificate = match key_input::read(&self.file, self.from)? {
            Input::Certificate(certificate) => certificate,
            Input::Raw(key) if self.secret => KeyPair::from_secret(SecretKey::from(*key))?.into(),
            Input::Raw(key) => PublicKey::from(*key).into(),
        };
        if self.secret {
            match certificate.key_pair() {
                None => return Err(Failure::new("it has no secret key").hint("Leave out --secret.")),
                Some(pair) => pair.check()?,
            }
        }
        let text = self.text(&certificate)?;
        let converted = Converted {
            format: self.to,
            public_key: certificate.public_key().to_string(),
            secret: self.secret,
            file: self.output_file.as_ref(),
            text: self.output_file.is_none().then_some(&text),
        };
        let Some(path) = &self.output_file else {
            output.write(&converted, |out| out.write_all(text.as_bytes()))?;
            return Ok(Exit::Done);
        };
        if !self.force && path.symlink_metadata().is_ok() {
            return Err(file::exists(path));
        }
        let same = fs::canonicalize(path).ok().is_some_and(|to| fs::canonicalize(&self.file).ok() == Some(to));
        if same && certificate.key_pair().is_some() && !self.secret {
            return Err(Failure::usage(format!(
                "{} is also the input, and its secret key would be lost",
                escape::path(path)
            ))
            .hint("Give another file with -o, or add --secret."));
        }
        let mode = if self.secret { 0o600 } else { 0o644 };
        if self.force {
            // Writing renames a new file into place, which would replace `/dev/stdout` itself.
            if path.is_symlink() {
                return Err(Failure::new(format!("{}: is a symbolic link; nothing was changed", escape::path(path)))
                    .hint("Give the file that it points to."));
            }
            file::replace(path, text.as_bytes(), mode)?;
        } else {
            file::create(path, text.as_bytes(), mode, None)?;
        }
        output.write(&converted, |out| writeln!(out, "{}", converted.public_key))?;
        Ok(Exit::Done)
    }

    fn text(&self, certificate: &Certificate) -> Result<Zeroizing<String>, Failure> {
        let secret = certificate.key_pair().filter(|_| self.secret).map(|pair| &pair.secret);
        Ok(match (self.to, secret) {
            (Format::Pyzmq, None) => Zeroizing::new(certificate.public_text()?),
            (Format::Pyzmq, Some(_)) => certificate.secret_text()?,
            (Format::Czmq, secret) => czmq(&certificate.public_text()?, secret),
            (format, secret) => {
                let public = certificate.public_key();
                let mut text = key_input::encoded(secret.map_or(public.as_bytes(), SecretKey::as_bytes), format);
                // Copied into a larger buffer: growing in place would leave the old text in memory.
                let mut line = Zeroizing::new(String::with_capacity(text.len() + 1));
                line.push_str(&text);
                line.push('\n');
                std::mem::swap(&mut text, &mut line);
                text
            }
        })
    }
}

/// A certificate in czmq's format: pyzmq's public file with other first lines, and the secret key at the end.
fn czmq(public_text: &str, secret: Option<&SecretKey>) -> Zeroizing<String> {
    let (header, body) = public_text.split_once("\n\n").unwrap_or(("", public_text));
    let rest = header.split_once('\n').map_or("", |(_, rest)| rest);
    let time = ZonedDateTime::now().strftime("%Y-%m-%d %H:%M:%S");
    let first = format!("#   ****  Generated on {time} by CZMQ  ****\n");
    let mut text = Zeroizing::new(String::with_capacity(first.len() + public_text.len() + 256));
    text.push_str(&first);
    match secret {
        None => text.push_str(rest),
        Some(_) => text.push_str(
            "#   ZeroMQ CURVE **Secret** Certificate\n\
             #   DO NOT PROVIDE THIS FILE TO OTHER USERS nor change its permissions.",
        ),
    }
    text.push_str("\n\n");
    text.push_str(body);
    if let Some(secret) = secret {
        text.push_str("    secret-key = \"");
        text.push_str(&secret.to_z85());
        text.push_str("\"\n");
    }
    text
}
