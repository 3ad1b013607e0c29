//! Clients of every kind, and what the model says of each.

use std::fmt;

use zmq_auth::{Handshake, PublicKey, SocketExt};

use crate::harness::sockets::Client;
use crate::model::{Model, Random, address, user, word};
use crate::server::DOORS;

/// Where to knock.
pub(crate) struct Doors {
    key: PublicKey,
    ports: Vec<String>,
    context: zmq::Context,
}

impl Doors {
    pub(crate) fn read(line: &str) -> Self {
        let mut words = line.split(' ');
        let key = words.next().unwrap().parse().unwrap();
        let ports: Vec<_> = words.map(str::to_owned).collect();
        assert_eq!(ports.len(), DOORS.len(), "{line}");
        Doors { key, ports, context: zmq::Context::new() }
    }
}

/// What a client shows, and at which door.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shows {
    /// One of the three doors of keys, and a key.
    Key(usize, usize),
    Login(usize, usize),
    Nothing,
    /// A good key, to a server that it takes for another: nobody is asked.
    WrongServerKey(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    shows: Shows,
    address: usize,
}

/// What came of them.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) changes: u64,
    // By door; the last is for those whom no door was asked about.
    let_in: [u64; 5],
    refused: [u64; 5],
    mismatched: u64,
}

impl Kind {
    pub(crate) fn any(random: &mut Random) -> Self {
        let shows = match random.below(12) {
            0..6 => Shows::Key(random.below(3), Model::any_key(random)),
            6..9 => {
                let (name, number) = Model::any_login(random);
                Shows::Login(name, number)
            }
            9..11 => Shows::Nothing,
            _ => Shows::WrongServerKey(Model::any_key(random)),
        };
        Kind { shows, address: Model::any_address(random) }
    }

    fn door(self) -> usize {
        match self.shows {
            Shows::Key(door, _) => door,
            Shows::WrongServerKey(_) => 0,
            Shows::Login(..) => 3,
            Shows::Nothing => 4,
        }
    }

    /// `None` where the two ends don't fit.
    fn is_right(self, model: &Model) -> Option<bool> {
        let shown = match self.shows {
            Shows::Key(0, key) => model.has_added(key),
            Shows::Key(1, key) => model.has_followed(key),
            Shows::Key(_, key) => model.has_loaded(key),
            Shows::Login(name, number) => model.has_login((name, number)),
            Shows::Nothing => true,
            Shows::WrongServerKey(_) => return None,
        };
        Some(shown && model.lets_in_from(self.address))
    }

    fn user_id(self, model: &Model) -> String {
        match self.shows {
            Shows::Key(_, key) => model.keys[key].public.to_string(),
            Shows::Login(name, _) => user(name),
            Shows::Nothing | Shows::WrongServerKey(_) => String::new(),
        }
    }

    fn connect(self, doors: &Doors, model: &Model) -> Client {
        let endpoint = format!("tcp://{}:0;127.0.0.1:{}", address(self.address), doors.ports[self.door()]);
        Client::new(&doors.context, &endpoint, |socket| {
            socket.set_reconnect_ivl(-1).unwrap();
            match self.shows {
                Shows::Key(_, key) => socket.curve_client(&model.keys[key], &doors.key),
                Shows::WrongServerKey(key) => socket.curve_client(&model.keys[key], &model.keys[0].public),
                Shows::Login(name, number) => socket.plain_client(&user(name), &word(number)),
                Shows::Nothing => Ok(()),
            }
        })
    }
}

/// All of them at once; then one by one, what came of each is held against the model.
pub(crate) fn run_together(kinds: impl Iterator<Item = Kind>, doors: &Doors, model: &Model, tally: &mut Tally) {
    let clients: Vec<_> = kinds.map(|kind| (kind, kind.connect(doors, model))).collect();
    for (kind, mut client) in clients {
        let handshake = client.wait_for_handshake(crate::harness::DEADLINE).unwrap();
        match kind.is_right(model) {
            Some(true) => {
                assert_eq!(handshake, Some(Handshake::Authenticated), "{kind:?} is right");
                client.send("who am I?", 0).unwrap();
                let told = client.recv_string(0).expect("an answer within the deadline").expect("text");
                assert_eq!(told, kind.user_id(model), "{kind:?}");
                tally.let_in[kind.door()] += 1;
            }
            Some(false) => {
                assert_eq!(handshake, Some(Handshake::Denied(400)), "{kind:?} is wrong");
                tally.refused[kind.door()] += 1;
            }
            None => {
                assert!(matches!(handshake, Some(Handshake::Failed(_))), "{kind:?}: {handshake:?}");
                tally.mismatched += 1;
            }
        }
    }
}

impl Tally {
    pub(crate) fn let_in(&self) -> u64 {
        self.let_in.iter().sum()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.iter().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.let_in() + self.refused() + self.mismatched;
        writeln!(f, "{connections} connections, {} changes, no wrong decision", self.changes)?;
        for (door, name) in DOORS.iter().enumerate() {
            writeln!(f, "{name}: {} let in, {} refused", self.let_in[door], self.refused[door])?;
        }
        write!(f, "wrong server key: {}, nobody was asked", self.mismatched)
    }
}
