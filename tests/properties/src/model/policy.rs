//! Whether a policy accepts a client.

use std::str;

use super::address::{self, Rules};
use super::metadata::Property;
use super::{metadata, z85};

type Key = [u8; 32];

/// The current policy. The first entry of a domain counts; configuring it removes the old one.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    pub addresses: Rules,
    pub plain: Vec<(String, Plain)>,
    pub curve: Vec<(String, Curve)>,
    pub gssapi: Vec<(String, ())>,
    /// Whether CURVE clients are named by [`mapped`].
    pub maps_names: bool,
    /// Whether accepted clients get one more property.
    pub marks: bool,
    /// Whether clients that fail too often may get 300 for anything.
    pub limits: bool,
}

#[derive(Debug, Clone)]
pub enum Plain {
    Table(Vec<(Vec<u8>, Vec<u8>)>),
    Callback,
}

#[derive(Debug, Clone)]
pub enum Curve {
    Any,
    /// A list that keys are added to and removed from.
    Listed(Vec<Listed>),
    /// As [`Curve::Listed`], but only the disk changes it.
    Store(Vec<Listed>),
    Callback,
}

#[derive(Debug, Clone)]
pub struct Listed {
    pub key: Key,
    pub metadata: Vec<(String, String)>,
    /// Today is within the certificate's validity.
    pub is_valid: bool,
}

/// The reply to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub user_id: Vec<u8>,
    pub metadata: Vec<Property>,
    /// What the reply's text is about.
    pub about: &'static str,
}

impl Policy {
    /// `None` for a request that can't be replied to.
    pub fn decide(&self, frames: &[Vec<u8>]) -> Option<Answer> {
        if frames.len() < 2 {
            return None;
        }
        if frames[0] != b"1.0" {
            return Some(denied("version"));
        }
        if frames.len() < 6 {
            return Some(denied("not enough frames"));
        }
        let (domain, address, mechanism, credentials) = (&frames[2], &frames[3], &frames[5], &frames[6..]);
        let wanted = match &mechanism[..] {
            b"NULL" => Some(0),
            b"PLAIN" => Some(2),
            b"CURVE" | b"GSSAPI" => Some(1),
            _ => None,
        };
        if wanted.is_some_and(|wanted| wanted != credentials.len()) {
            return Some(denied("credentials"));
        }
        if mechanism == b"CURVE" && credentials[0].len() != 32 {
            return Some(denied("32 bytes"));
        }
        if !self.addresses.let_on(address) {
            return Some(denied("address"));
        }
        Some(match &mechanism[..] {
            b"NULL" => allowed(b""),
            b"PLAIN" => self.plain(domain, address, &credentials[0], &credentials[1]),
            b"CURVE" => self.curve(domain, address, credentials[0].clone().try_into().ok()?),
            b"GSSAPI" if source(&self.gssapi, domain).is_some() => allowed(&credentials[0]),
            b"GSSAPI" => denied("not configured"),
            _ => denied("unknown mechanism"),
        })
    }

    fn plain(&self, domain: &[u8], address: &[u8], user: &[u8], password: &[u8]) -> Answer {
        match source(&self.plain, domain) {
            None => denied("not configured"),
            Some(Plain::Table(users)) => match users.iter().find(|(name, _)| name == user) {
                Some((_, right)) if right == password => allowed(user),
                _ => denied("unknown user or wrong password"),
            },
            Some(Plain::Callback) => match (str::from_utf8(user), str::from_utf8(password)) {
                (Ok(_), Ok(_)) => called(user, user, domain, address),
                _ => denied("UTF-8"),
            },
        }
    }

    fn curve(&self, domain: &[u8], address: &[u8], key: Key) -> Answer {
        let name = if self.maps_names { mapped(&key) } else { z85::encode(&key) };
        match source(&self.curve, domain) {
            None => denied("not configured"),
            Some(Curve::Any) => allowed(name.as_bytes()),
            Some(Curve::Callback) => called(&key, name.as_bytes(), domain, address),
            Some(Curve::Listed(keys) | Curve::Store(keys)) => match keys.iter().find(|listed| listed.key == key) {
                None => denied("unknown key"),
                Some(listed) if !listed.is_valid => denied("certificate"),
                Some(listed) => {
                    let mut answer = allowed(name.as_bytes());
                    if answer.status == 200 {
                        answer.metadata = sent(&listed.metadata);
                    }
                    answer
                }
            },
        }
    }
}

/// The source of exactly this domain, else that of `"*"`.
pub fn source<'a, T>(sources: &'a [(String, T)], domain: &[u8]) -> Option<&'a T> {
    let of = |name: &[u8]| sources.iter().find(|(held, _)| held.as_bytes() == name).map(|(_, source)| source);
    of(domain).or_else(|| of(b"*"))
}

/// What the properties' callbacks return for this name or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Allow,
    AllowAs,
    Deny,
    Retry,
    Fault,
    AllowIp,
}

pub fn word(who: &[u8]) -> Word {
    let words = [Word::Allow, Word::AllowAs, Word::Deny, Word::Retry, Word::Fault, Word::AllowIp];
    words[usize::from(who.first().copied().unwrap_or(0)) % words.len()]
}

/// The name that the properties' map gives a client. One of the names is invalid: it has a NUL.
pub fn mapped(key: &Key) -> String {
    if key[0] % 4 == 3 { "key\0".into() } else { format!("key {}", key[0]) }
}

fn called(who: &[u8], name: &[u8], domain: &[u8], address: &[u8]) -> Answer {
    let (Ok(domain), Ok(_)) = (str::from_utf8(domain), str::from_utf8(address)) else { return denied("UTF-8") };
    let refused = |status| Answer { status, ..denied("") };
    match word(who) {
        Word::Allow => allowed(name),
        Word::AllowIp if address::is_ip(address) => allowed(name),
        Word::AllowAs => {
            let mut answer = allowed(format!("guest of {domain}").as_bytes());
            if answer.status == 200 {
                answer.metadata = vec![(b"role".to_vec(), b"guest".to_vec())];
            }
            answer
        }
        Word::Deny | Word::AllowIp => refused(400),
        Word::Retry => refused(300),
        Word::Fault => refused(500),
    }
}

fn sent(metadata: &[(String, String)]) -> Vec<Property> {
    let may_be_sent = metadata.iter().filter(|(name, _)| !metadata::is_never_sent(name));
    may_be_sent.map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())).collect()
}

fn denied(about: &'static str) -> Answer {
    Answer { status: 400, user_id: Vec::new(), metadata: Vec::new(), about }
}

/// A user id with a NUL would be read as another.
fn allowed(user_id: &[u8]) -> Answer {
    if user_id.contains(&0) {
        return Answer { status: 500, ..denied("NUL") };
    }
    Answer { status: 200, user_id: user_id.to_vec(), metadata: Vec::new(), about: "OK" }
}
