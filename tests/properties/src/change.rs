//! A change of policy, made to the crate's policy and to the model's.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;
use zmq_auth::{Authenticator, CURVE_ALLOW_ANY, IpcRule, KeyDirectory, PublicKey, Verdict};

use crate::disk;
use crate::model::address::{Ipc, Rules, Subnet};
use crate::model::policy::{self, Curve, Listed, Plain, Policy, Word};
use crate::model::z85;

#[derive(Debug, Clone)]
pub enum Change {
    Plain(String, Vec<(String, Vec<u8>)>),
    PlainCallback(String),
    CurveAny(String),
    CurveDirectory(String),
    CurveStore(String),
    CurveKeys(String, Vec<[u8; 32]>),
    CurveCallback(String),
    AddKey(String, [u8; 32]),
    RemoveKey(String, [u8; 32]),
    Gssapi(String),
    RemoveDomain(String),
    Allow(Vec<String>),
    Deny(Vec<String>),
    SetAddresses(Vec<String>, Vec<String>),
    AllowIpc(Vec<Ipc>),
    DenyIpc(Vec<Ipc>),
    SetIpc(Vec<Ipc>, Vec<Ipc>),
    MapNames,
    Mark,
    Limit,
}

/// The result of a change: `Ok` with what a removal found, or an `Err` that changed nothing.
pub type Answer = Result<bool, Refused>;

/// Any `Err` of the crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

/// The keys of the directory: usual, with metadata that may and may not be sent, not valid yet, no longer valid.
pub const DIRECTORY: [[u8; 32]; 4] = [[1; 32], [2; 32], [100; 32], [101; 32]];

impl Change {
    /// Applies it with the crate's methods.
    pub fn make(&self, auth: &Authenticator) -> Answer {
        let done = |result: zmq_auth::Result<()>| result.map(|()| false).map_err(|_| Refused);
        match self {
            Change::Plain(domain, users) => {
                done(auth.configure_plain(domain, users.iter().map(|(user, password)| (user, &password[..]))))
            }
            Change::PlainCallback(domain) => done(auth.configure_plain_callback(domain, |user, _, peer| {
                verdict(user.as_bytes(), peer.domain(), peer.ip().is_some())
            })),
            Change::CurveAny(domain) => done(auth.configure_curve(domain, CURVE_ALLOW_ANY)),
            Change::CurveDirectory(domain) => done(auth.configure_curve(domain, directory())),
            Change::CurveStore(domain) => done(auth.configure_curve_store(domain, store())),
            Change::CurveKeys(domain, keys) => {
                done(auth.configure_curve_keys(domain, keys.iter().copied().map(PublicKey::from)))
            }
            Change::CurveCallback(domain) => done(auth.configure_curve_callback(domain, |key, peer| {
                verdict(key.as_bytes(), peer.domain(), peer.ip().is_some())
            })),
            Change::AddKey(domain, key) => done(auth.add_curve_key(domain, (*key).into())),
            Change::RemoveKey(domain, key) => auth.remove_curve_key(domain, &(*key).into()).map_err(|_| Refused),
            Change::Gssapi(domain) => done(auth.configure_gssapi(domain)),
            Change::RemoveDomain(domain) => Ok(auth.remove_domain(domain)),
            Change::Allow(rules) => done(auth.allow(rules)),
            Change::Deny(rules) => done(auth.deny(rules)),
            Change::SetAddresses(allow, deny) => done(auth.set_addresses(allow, deny)),
            Change::AllowIpc(rules) => unfailing(|| auth.allow_ipc(ipc(rules))),
            Change::DenyIpc(rules) => unfailing(|| auth.deny_ipc(ipc(rules))),
            Change::SetIpc(allow, deny) => unfailing(|| auth.set_ipc(ipc(allow), ipc(deny))),
            Change::MapNames => unfailing(|| auth.curve_user_id(|key| policy::mapped(key.as_bytes()))),
            Change::Mark => done(auth.mark_clients()),
            Change::Limit => done(auth.limit_failures(3, Duration::from_secs(86_400), Duration::from_secs(86_400))),
        }
    }

    /// Applies it as the docs of those methods say.
    pub fn make_in_model(&self, model: &mut Policy) -> Answer {
        if let Some(domain) = self.configured()
            && !(1..=255).contains(&domain.len())
        {
            return Err(Refused);
        }
        match self {
            Change::Plain(domain, users) => {
                let can_be_sent = |bytes: &[u8]| (1..=255).contains(&bytes.len());
                let is_user = |user: &str| can_be_sent(user.as_bytes()) && !user.contains('\0');
                if !users.iter().all(|(user, password)| is_user(user) && can_be_sent(password)) {
                    return Err(Refused);
                }
                // Of two passwords of one user, the latter.
                let users = users.iter().rev().map(|(user, password)| (user.clone().into_bytes(), password.clone()));
                set(&mut model.plain, domain, Plain::Table(users.collect()));
            }
            Change::PlainCallback(domain) => set(&mut model.plain, domain, Plain::Callback),
            Change::CurveAny(domain) => set(&mut model.curve, domain, Curve::Any),
            Change::CurveDirectory(domain) => set(&mut model.curve, domain, Curve::Listed(in_directory())),
            Change::CurveStore(domain) => set(&mut model.curve, domain, Curve::Store(in_directory())),
            Change::CurveKeys(domain, keys) => {
                set(&mut model.curve, domain, Curve::Listed(keys.iter().copied().map(listed).collect()));
            }
            Change::CurveCallback(domain) => set(&mut model.curve, domain, Curve::Callback),
            Change::AddKey(domain, key) => match own(&mut model.curve, domain) {
                None => set(&mut model.curve, domain, Curve::Listed(vec![listed(*key)])),
                Some(Curve::Listed(keys)) if keys.iter().any(|held| held.key == *key) => {}
                Some(Curve::Listed(keys)) => keys.push(listed(*key)),
                Some(_) => return Err(Refused),
            },
            Change::RemoveKey(domain, key) => match own(&mut model.curve, domain) {
                None => return Ok(false),
                Some(Curve::Listed(keys)) => {
                    let before = keys.len();
                    keys.retain(|held| held.key != *key);
                    return Ok(keys.len() < before);
                }
                Some(_) => return Err(Refused),
            },
            Change::Gssapi(domain) => set(&mut model.gssapi, domain, ()),
            Change::RemoveDomain(domain) => {
                let before = model.plain.len() + model.curve.len() + model.gssapi.len();
                model.plain.retain(|(held, _)| held != domain);
                model.curve.retain(|(held, _)| held != domain);
                model.gssapi.retain(|(held, _)| held != domain);
                return Ok(model.plain.len() + model.curve.len() + model.gssapi.len() < before);
            }
            Change::Allow(rules) => model.addresses.allow.extend(subnets(rules)?),
            Change::Deny(rules) => model.addresses.deny.extend(subnets(rules)?),
            Change::SetAddresses(allow, deny) => {
                let (allow, deny) = (subnets(allow)?, subnets(deny)?);
                model.addresses = Rules { allow, deny, ..model.addresses.clone() };
            }
            Change::AllowIpc(rules) => model.addresses.allow_ipc.extend(rules),
            Change::DenyIpc(rules) => model.addresses.deny_ipc.extend(rules),
            Change::SetIpc(allow, deny) => {
                (model.addresses.allow_ipc, model.addresses.deny_ipc) = (allow.clone(), deny.clone());
            }
            Change::MapNames => model.maps_names = true,
            Change::Mark => model.marks = true,
            Change::Limit => model.limits = true,
        }
        Ok(false)
    }

    /// The domain whose source is set or changed.
    fn configured(&self) -> Option<&str> {
        match self {
            Change::Plain(domain, _) | Change::PlainCallback(domain) => Some(domain),
            Change::CurveAny(domain) | Change::CurveDirectory(domain) | Change::CurveStore(domain) => Some(domain),
            Change::CurveKeys(domain, _) | Change::CurveCallback(domain) => Some(domain),
            Change::AddKey(domain, _) | Change::RemoveKey(domain, _) | Change::Gssapi(domain) => Some(domain),
            _ => None,
        }
    }
}

fn unfailing(change: impl FnOnce()) -> Answer {
    change();
    Ok(false)
}

fn verdict(who: &[u8], domain: &str, is_ip: bool) -> Verdict {
    match policy::word(who) {
        Word::Allow => Verdict::Allow,
        Word::AllowAs => {
            let mut metadata = zmq_auth::Metadata::default();
            metadata.insert("role", "guest").unwrap();
            Verdict::AllowAs { user_id: format!("guest of {domain}"), metadata }
        }
        Word::Deny => Verdict::Deny("no".into()),
        Word::Retry => Verdict::Retry,
        Word::Fault => Verdict::Fault("broken".into()),
        Word::AllowIp => is_ip.into(),
    }
}

fn ipc(rules: &[Ipc]) -> impl Iterator<Item = IpcRule> {
    rules.iter().map(|rule| match rule {
        Ipc::Any => IpcRule::Any,
        Ipc::User(uid) => IpcRule::User(*uid),
        Ipc::Group(gid) => IpcRule::Group(*gid),
    })
}

fn subnets(rules: &[String]) -> Result<Vec<Subnet>, Refused> {
    rules.iter().map(|rule| Subnet::parse(rule).ok_or(Refused)).collect()
}

fn set<T>(sources: &mut Vec<(String, T)>, domain: &str, source: T) {
    sources.retain(|(held, _)| held != domain);
    sources.push((domain.to_owned(), source));
}

fn own<'a, T>(sources: &'a mut [(String, T)], domain: &str) -> Option<&'a mut T> {
    sources.iter_mut().find(|(held, _)| held == domain).map(|(_, source)| source)
}

fn listed(key: [u8; 32]) -> Listed {
    Listed { key, metadata: Vec::new(), is_valid: true }
}

const METADATA: [&[(&str, &str)]; 4] = [
    &[],
    &[("name", "Bob"), ("Identity", "forged"), ("user-id", "root"), ("role", "a \"b\" # c")],
    &[("not-before", "2999-01-01T00:00:00Z")],
    &[("not-after", "1999-12-31T23:59:59Z")],
];

fn in_directory() -> Vec<Listed> {
    let entry = |(key, metadata): (&[u8; 32], &&[(&str, &str)])| Listed {
        key: *key,
        metadata: metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        is_valid: !metadata.iter().any(|(name, _)| name.starts_with("not-")),
    };
    DIRECTORY.iter().zip(&METADATA).map(entry).collect()
}

/// Certificates on disk, as others write them.
fn directory() -> &'static std::path::Path {
    static DISK: OnceLock<TempDir> = OnceLock::new();
    let made = DISK.get_or_init(|| {
        let directory = disk::directory();
        for (n, listed) in in_directory().iter().enumerate() {
            let metadata = listed.metadata.iter().map(|(name, value)| format!("    {name} = {value}\n"));
            let metadata: String = metadata.collect();
            let key = z85::encode(&listed.key);
            let text = format!("metadata\n{metadata}curve\n    public-key = \"{key}\"\n");
            fs::write(directory.path().join(format!("{n}.key")), text).unwrap();
        }
        directory
    });
    made.path()
}

fn store() -> &'static KeyDirectory {
    static STORE: OnceLock<KeyDirectory> = OnceLock::new();
    STORE.get_or_init(|| KeyDirectory::open(directory()).unwrap())
}
