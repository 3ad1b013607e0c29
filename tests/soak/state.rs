//! The current policy, as the naive model of `tests/properties`, and the changes that make the server's the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use zmq_auth::KeyPair;

use crate::harness::log;
use crate::harness::random::Random;
use crate::harness::worker::Worker;
use crate::model::address::{Rules, Subnet};
use crate::model::policy::{Answer, Curve, Listed, Plain, Policy};
use crate::server::Directories;

/// The number of key pairs, user names, passwords and addresses.
const KEYS: usize = 8;
const USERS: usize = 4;
const PASSWORDS: usize = 3;
const ADDRESSES: usize = 6;

pub(crate) struct State {
    pub(crate) keys: Vec<KeyPair>,
    policy: Policy,
    users: BTreeMap<usize, usize>,
    denied: BTreeSet<usize>,
    /// Empty: there is no such list.
    allowed: BTreeSet<usize>,
}

pub(crate) fn address(number: usize) -> String {
    format!("127.0.0.{}", number + 2)
}

pub(crate) fn user(number: usize) -> String {
    format!("user{number}")
}

pub(crate) fn password(number: usize) -> String {
    log::password(&format!("soak {number}"))
}

impl State {
    /// Only a set of keys and the two directories are configured, and those are empty. One directory is followed, and
    /// reloaded after each change; the other is configured again.
    pub(crate) fn new(directories: &Directories, server: &mut Worker) -> Self {
        let domain = |name: &str, source: fn(Vec<Listed>) -> Curve| (name.to_owned(), source(Vec::new()));
        let state = State {
            keys: (0..KEYS).map(|_| log::keys()).collect(),
            policy: Policy {
                curve: vec![
                    domain("added", Curve::Listed),
                    domain("followed", Curve::Store),
                    domain("loaded", Curve::Listed),
                ],
                ..Policy::default()
            },
            users: BTreeMap::new(),
            denied: BTreeSet::new(),
            allowed: BTreeSet::new(),
        };
        assert!(fs::read_dir(directories.followed()).unwrap().next().is_none());
        assert_eq!(server.ask("load"), "ok");
        state
    }

    /// The model's reply to a request.
    pub(crate) fn decide(&self, request: &[Vec<u8>]) -> Answer {
        self.policy.decide(request).expect("the request can be answered")
    }

    /// Makes one change in the model and at the server.
    pub(crate) fn change(&mut self, random: &mut Random, directories: &Directories, server: &mut Worker) {
        let key = random.below(KEYS);
        let public = self.keys[key].public;
        let write = |dir: &Path, is_in: bool| {
            let file = dir.join(format!("{key}.key"));
            match is_in {
                true => fs::write(file, format!("curve\n    public-key = \"{public}\"\n")).unwrap(),
                false => fs::remove_file(file).unwrap(),
            }
        };
        let command = match random.below(6) {
            0 => match self.toggle("added", key) {
                true => format!("add {public}"),
                false => format!("remove {public}"),
            },
            1 => {
                write(directories.followed(), self.toggle("followed", key));
                "reload".to_owned()
            }
            2 => {
                write(directories.loaded(), self.toggle("loaded", key));
                "load".to_owned()
            }
            3 => {
                let name = random.below(USERS);
                if self.users.remove(&name).is_none() || random.below(2) == 0 {
                    self.users.insert(name, random.below(PASSWORDS));
                }
                self.users()
            }
            4 => {
                let number = random.below(ADDRESSES);
                if !self.denied.remove(&number) {
                    self.denied.insert(number);
                }
                self.addresses()
            }
            _ => {
                self.allowed = match random.below(3) {
                    0 => BTreeSet::new(),
                    _ => (0..ADDRESSES).filter(|_| random.below(4) > 0).chain([0]).collect(),
                };
                self.addresses()
            }
        };
        assert_eq!(server.ask(&command), "ok", "{command}");
    }

    /// Whether the key is listed afterwards.
    fn toggle(&mut self, domain: &str, key: usize) -> bool {
        let key = *self.keys[key].public.as_bytes();
        let source = self.policy.curve.iter_mut().find(|(name, _)| name == domain);
        let Some((_, Curve::Listed(keys) | Curve::Store(keys))) = source else { panic!("no keys in {domain}") };
        let before = keys.len();
        keys.retain(|listed| listed.key != key);
        let is_in = keys.len() == before;
        if is_in {
            keys.push(Listed { key, metadata: Vec::new(), is_valid: true });
        }
        is_in
    }

    fn users(&mut self) -> String {
        let users: Vec<_> = self.users.iter().map(|(&name, &number)| (user(name), password(number))).collect();
        let table = users.iter().map(|(name, password)| (name.clone().into_bytes(), password.clone().into_bytes()));
        self.policy.plain = vec![("shop".to_owned(), Plain::Table(table.collect()))];
        let lines = users.iter().map(|(name, password)| format!("{name}={password}"));
        format!("users {}", lines.collect::<Vec<_>>().join("|"))
    }

    fn addresses(&mut self) -> String {
        let subnets = |set: &BTreeSet<usize>| {
            set.iter().map(|&number| Subnet::parse(&address(number)).expect("an address is a subnet")).collect()
        };
        self.policy.addresses =
            Rules { allow: subnets(&self.allowed), deny: subnets(&self.denied), ..Rules::default() };
        let list = |set: &BTreeSet<usize>| set.iter().map(|&number| address(number)).collect::<Vec<_>>().join(",");
        format!("addresses {}|{}", list(&self.allowed), list(&self.denied))
    }

    pub(crate) fn any_key(random: &mut Random) -> usize {
        random.below(KEYS)
    }

    pub(crate) fn any_address(random: &mut Random) -> usize {
        random.below(ADDRESSES)
    }

    pub(crate) fn any_login(random: &mut Random) -> (usize, usize) {
        (random.below(USERS), random.below(PASSWORDS))
    }
}
