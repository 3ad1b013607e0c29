//! Certificates: made, and read.

use anyhow::{Context, Result};
use serde_json::json;
use zmq_auth::Certificate;

use crate::print;

pub(crate) fn make(directory: &str, name: &str, metadata: &[&str]) -> Result<()> {
    let mut certificate = Certificate::generate()?;
    for entry in metadata {
        let (key, value) = entry.split_once('=').context("metadata is KEY=VALUE")?;
        certificate = match certificate.with_metadata(key, value) {
            Ok(certificate) => certificate,
            Err(error) => {
                print(&json!({"event": "unsupported", "why": error.to_string()}));
                return Ok(());
            }
        };
    }
    certificate.save_pair(directory, name)?;
    print(&json!({"public": certificate.public_key().to_string()}));
    Ok(())
}

pub(crate) fn read(file: &str) -> Result<()> {
    let certificate = Certificate::load(file)?;
    let metadata: serde_json::Map<_, _> =
        certificate.metadata().iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let public = certificate.public_key().to_string();
    print(&json!({"public": public, "has_secret": certificate.key_pair().is_some(), "metadata": metadata}));
    Ok(())
}
