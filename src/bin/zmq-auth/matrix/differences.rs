//! The list of known differences between stacks, each with its reason. An entry that no longer occurs is an error.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::peer::{Mechanism, Peer};
use crate::escape;
use crate::output::Failure;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    difference: Vec<Difference>,
}

/// A known difference. It applies to each cell that all its lists cover; a missing list covers everything.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    pub(crate) name: String,
    /// The texts of the differences, word for word. Each such cell must have all of them.
    pub(crate) says: Vec<String>,
    pub(crate) reason: String,
    /// Names of peers, `stack:NAME` for all peers of a stack, or `not:NAME` for all but one.
    servers: Option<Vec<String>>,
    clients: Option<Vec<String>>,
    /// For certificates.
    makers: Option<Vec<String>>,
    readers: Option<Vec<String>>,
    mechanisms: Option<Vec<Mechanism>>,
    cases: Option<Vec<String>>,
    /// Whether it depends on timing: then a cell without it is fine, too.
    #[serde(default)]
    sometimes: bool,
}

/// The place of a difference: a cell, or a certificate.
pub(crate) struct Place<'a> {
    pub(crate) server: Option<&'a Peer>,
    pub(crate) client: Option<&'a Peer>,
    pub(crate) maker: Option<&'a Peer>,
    pub(crate) reader: Option<&'a Peer>,
    pub(crate) mechanism: Option<Mechanism>,
    pub(crate) case: &'a str,
}

/// Reads lists of known differences. They may only name existing peers.
pub(crate) fn read(files: &[&Path], peers: &[Peer]) -> Result<Vec<Difference>, Failure> {
    let mut all: Vec<Difference> = Vec::new();
    for path in files {
        let cannot = |error: String| Failure::new(format!("{}: {error}", escape::path(path)));
        let text = fs::read_to_string(path).map_err(|error| cannot(error.to_string()))?;
        let file: File = toml::from_str(&text).map_err(|error| cannot(error.to_string()))?;
        for difference in file.difference {
            let name = escape::text(&difference.name);
            if difference.reason.trim().is_empty() || difference.says.is_empty() {
                return Err(cannot(format!("{name}: a difference needs what it says, and a reason")));
            }
            if all.iter().any(|other| other.name == difference.name) {
                return Err(cannot(format!("{name}: two differences have this name")));
            }
            if let Some(unknown) = difference.peers().find(|pattern| !peers.iter().any(|peer| is_about(pattern, peer)))
            {
                return Err(cannot(format!("{name}: unknown peer {:?}", unknown)));
            }
            all.push(difference);
        }
    }
    Ok(all)
}

impl Difference {
    fn peers(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.servers, &self.clients, &self.makers, &self.readers];
        lists.into_iter().flatten().flatten().map(|pattern| pattern.strip_prefix("not:").unwrap_or(pattern))
    }

    /// Whether it should occur in this place.
    fn covers(&self, place: &Place<'_>) -> bool {
        // A difference in making a certificate has only makers.
        let is_about_this = match (place.maker, place.reader) {
            (None, _) => self.makers.is_none() && self.readers.is_none(),
            (Some(_), None) => self.makers.is_some() && self.readers.is_none(),
            (Some(_), Some(_)) => self.readers.is_some(),
        };
        let lists = [
            (&self.servers, place.server),
            (&self.clients, place.client),
            (&self.makers, place.maker),
            (&self.readers, place.reader),
        ];
        is_about_this
            && lists.into_iter().all(|(list, peer)| match (list, peer) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(list), Some(peer)) => list.iter().any(|pattern| match pattern.strip_prefix("not:") {
                    Some(pattern) => !is_about(pattern, peer),
                    None => is_about(pattern, peer),
                }),
            })
            && self.mechanisms.as_ref().is_none_or(|list| place.mechanism.is_some_and(|one| list.contains(&one)))
            && self.cases.as_ref().is_none_or(|list| list.iter().any(|case| case == place.case))
    }
}

fn is_about(pattern: &str, peer: &Peer) -> bool {
    match pattern.strip_prefix("stack:") {
        Some(stack) => peer.stack == stack,
        None => peer.name == pattern,
    }
}

/// The known and unknown differences of a place, and the known ones that are gone.
#[derive(Default)]
pub(crate) struct Compared {
    /// Names of known differences.
    pub(crate) known: Vec<String>,
    /// The texts of differences that aren't listed.
    pub(crate) unexpected: Vec<String>,
    /// Names of known differences that should be there and aren't.
    pub(crate) gone: Vec<String>,
}

pub(crate) fn compare(known: &[Difference], place: &Place<'_>, seen: &[String]) -> Compared {
    let mut compared = Compared::default();
    let covering: Vec<&Difference> = known.iter().filter(|difference| difference.covers(place)).collect();
    for text in seen {
        match covering.iter().find(|difference| difference.says.contains(text)) {
            Some(difference) if compared.known.contains(&difference.name) => {}
            Some(difference) => compared.known.push(difference.name.clone()),
            None => compared.unexpected.push(text.clone()),
        }
    }
    let is_gone =
        |difference: &&&Difference| !difference.sometimes && !difference.says.iter().all(|text| seen.contains(text));
    compared.gone = covering.iter().filter(is_gone).map(|difference| difference.name.clone()).collect();
    compared
}
