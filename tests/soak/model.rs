//! What is in force, written down the naive way, and the changes that make it so at the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use zmq_auth::KeyPair;

use crate::harness::log;
use crate::harness::partner::Partner;
use crate::server::Place;

/// So many key pairs, user names, words and addresses there are.
const KEYS: usize = 8;
const USERS: usize = 4;
const WORDS: usize = 3;
const ADDRESSES: usize = 6;

/// xorshift64*, of a seed that is printed.
pub(crate) struct Random {
    state: u64,
    seed: u64,
}

impl Random {
    pub(crate) fn new() -> Self {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = time.as_nanos() as u64 | 1;
        Random { state: seed, seed }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound
    }
}

pub(crate) struct Model {
    pub(crate) keys: Vec<KeyPair>,
    /// Which of them a set of keys has…
    added: BTreeSet<usize>,
    /// …the followed directory, which is read again after each change…
    followed: BTreeSet<usize>,
    /// …and the directory that is configured anew, in what is there and in what was read.
    loaded: BTreeSet<usize>,
    users: BTreeMap<usize, usize>,
    denied: BTreeSet<usize>,
    /// `None`: there is no such list.
    allowed: Option<BTreeSet<usize>>,
}

pub(crate) fn address(number: usize) -> String {
    format!("127.0.0.{}", number + 2)
}

pub(crate) fn user(number: usize) -> String {
    format!("user{number}")
}

pub(crate) fn word(number: usize) -> String {
    log::password(&format!("soak {number}"))
}

impl Model {
    /// Nothing is configured but the two directories, which are empty.
    pub(crate) fn new(place: &Place, server: &mut Partner) -> Self {
        let model = Model {
            keys: (0..KEYS).map(|_| log::keys()).collect(),
            added: BTreeSet::new(),
            followed: BTreeSet::new(),
            loaded: BTreeSet::new(),
            users: BTreeMap::new(),
            denied: BTreeSet::new(),
            allowed: None,
        };
        assert!(fs::read_dir(place.followed()).unwrap().next().is_none());
        assert_eq!(server.ask("load"), "ok");
        model
    }

    /// One change, here and there.
    pub(crate) fn change(&mut self, random: &mut Random, place: &Place, server: &mut Partner) {
        let (key, toggled) = (random.below(KEYS), |set: &mut BTreeSet<usize>, key| {
            let removed = set.remove(&key);
            if !removed {
                set.insert(key);
            }
            !removed
        });
        let public = self.keys[key].public;
        let write = |dir: &std::path::Path, is_in: bool| {
            let file = dir.join(format!("{key}.key"));
            match is_in {
                true => fs::write(file, format!("curve\n    public-key = \"{public}\"\n")).unwrap(),
                false => fs::remove_file(file).unwrap(),
            }
        };
        let order = match random.below(6) {
            0 => match toggled(&mut self.added, key) {
                true => format!("add {public}"),
                false => format!("remove {public}"),
            },
            1 => {
                write(place.followed(), toggled(&mut self.followed, key));
                "reload".to_owned()
            }
            2 => {
                write(place.loaded(), toggled(&mut self.loaded, key));
                "load".to_owned()
            }
            3 => {
                let name = random.below(USERS);
                if self.users.remove(&name).is_none() || random.below(2) == 0 {
                    self.users.insert(name, random.below(WORDS));
                }
                let lines = self.users.iter().map(|(&name, &number)| format!("{}={}", user(name), word(number)));
                format!("users {}", lines.collect::<Vec<_>>().join("|"))
            }
            4 => {
                toggled(&mut self.denied, random.below(ADDRESSES));
                self.addresses()
            }
            _ => {
                self.allowed = match random.below(3) {
                    0 => None,
                    _ => Some((0..ADDRESSES).filter(|_| random.below(4) > 0).chain([0]).collect()),
                };
                self.addresses()
            }
        };
        assert_eq!(server.ask(&order), "ok", "{order}");
    }

    fn addresses(&self) -> String {
        let list = |set: &BTreeSet<usize>| set.iter().map(|&number| address(number)).collect::<Vec<_>>().join(",");
        format!("addresses {}|{}", self.allowed.as_ref().map(list).unwrap_or_default(), list(&self.denied))
    }

    pub(crate) fn any_key(random: &mut Random) -> usize {
        random.below(KEYS)
    }

    pub(crate) fn any_address(random: &mut Random) -> usize {
        random.below(ADDRESSES)
    }

    pub(crate) fn any_login(random: &mut Random) -> (usize, usize) {
        (random.below(USERS), random.below(WORDS))
    }

    pub(crate) fn lets_in_from(&self, address: usize) -> bool {
        !self.denied.contains(&address) && self.allowed.as_ref().is_none_or(|list| list.contains(&address))
    }

    pub(crate) fn has_added(&self, key: usize) -> bool {
        self.added.contains(&key)
    }

    pub(crate) fn has_followed(&self, key: usize) -> bool {
        self.followed.contains(&key)
    }

    pub(crate) fn has_loaded(&self, key: usize) -> bool {
        self.loaded.contains(&key)
    }

    pub(crate) fn has_login(&self, (name, number): (usize, usize)) -> bool {
        self.users.get(&name) == Some(&number)
    }
}
