//! `zmq-auth pubkey`: prints the public key of a certificate or of a secret key.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use zmq_auth::curve_public;

use crate::key_input::{self, Input};
use crate::output::{Exit, Failure, Output};

/// Print the public key of a certificate or of a secret key
///
/// The input is a certificate, public or secret, or a bare secret key in Z85, hexadecimal digits or base64.
#[derive(Args)]
#[command(after_help = "Example:\n  zmq-auth pubkey server.key_secret")]
pub(crate) struct Pubkey {
    /// The file, or - for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
}

#[derive(Serialize)]
struct Key {
    /// Z85.
    public_key: String,
}

impl Pubkey {
    pub(crate) fn run(self, output: &Output) -> Result<Exit, Failure> {
        let key = match key_input::read(&self.file, None)? {
            Input::Certificate(certificate) => {
                certificate.key_pair().map_or(Ok(()), |pair| pair.check())?;
                certificate.public_key()
            }
            Input::Raw(secret) => curve_public(&(*secret).into())?,
        };
        let key = Key { public_key: key.to_string() };
        output.write(&key, |out| writeln!(out, "{}", key.public_key))?;
        Ok(Exit::Done)
    }
}
