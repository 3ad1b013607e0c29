//! The two certificate files of a CURVE client: the server's public one and its own secret one.

use std::path::Path;

use zmq_auth::{Certificate, Error, KeyPair, PublicKey};

use crate::escape;
use crate::output::Failure;

/// Reads the files of `--server` and `--key`.
pub(crate) fn server_and_client(server: &Path, key: &Path) -> Result<(PublicKey, KeyPair), Failure> {
    let (server, keys) = (server_key(server)?, client_keys(key)?);
    if keys.public == server {
        return Err(Failure::usage("--server and --key have the same key")
            .hint("--server takes the server's NAME.key, --key this client's NAME.key_secret."));
    }
    Ok((server, keys))
}

fn server_key(file: &Path) -> Result<PublicKey, Failure> {
    let certificate = Certificate::load(file)?;
    if certificate.key_pair().is_some() {
        let problem = format!("{}: contains a secret key, but --server takes a public certificate", escape::path(file));
        return Err(Failure::usage(problem).hint(
            "Give --server the server's NAME.key. If this is the server's secret file, it must stay on the server.",
        ));
    }
    Ok(certificate.public_key())
}

fn client_keys(file: &Path) -> Result<KeyPair, Failure> {
    let certificate = Certificate::load(file)?;
    let Some(pair) = certificate.key_pair() else {
        let problem = format!("{}: has no secret key, but --key takes a secret certificate", escape::path(file));
        return Err(Failure::usage(problem).hint("Give --key the client's NAME.key_secret."));
    };
    match pair.check() {
        Err(Error::KeyMismatch) => {
            let problem = format!("{}: the public and the secret key are not a pair", escape::path(file));
            Err(Failure::new(problem).hint("No handshake can succeed with them: copy the original file again."))
        }
        checked => Ok(checked.map(|()| pair.clone())?),
    }
}
