//! Clients of every kind; each outcome is compared with the model.

use std::fmt;

use zmq_auth::{Handshake, SocketExt};

use crate::harness::random::Random;
use crate::harness::sockets::Client;
use crate::harness::zap;
use crate::server::DOMAINS;
use crate::state::{State, address, password, user};

/// The server's key, and the ports of its sockets.
pub(crate) struct Servers {
    key: zmq_auth::PublicKey,
    ports: Vec<String>,
    context: zmq::Context,
}

impl Servers {
    pub(crate) fn read(line: &str) -> Self {
        let mut words = line.split(' ');
        let key = words.next().unwrap().parse().unwrap();
        let ports: Vec<_> = words.map(str::to_owned).collect();
        assert_eq!(ports.len(), DOMAINS.len(), "{line}");
        Servers { key, ports, context: zmq::Context::new() }
    }
}

/// The credentials of a client, and for CURVE the domain.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Credentials {
    /// One of the three domains with keys, and a key.
    Key(usize, usize),
    Login(usize, usize),
    Nothing,
    /// A key, and a wrong server key: the handler is not asked.
    WrongServerKey(usize),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    credentials: Credentials,
    address: usize,
}

/// The outcomes.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) changes: u64,
    // By domain.
    accepted: [u64; 5],
    refused: [u64; 5],
    mismatched: u64,
}

impl Kind {
    pub(crate) fn any(random: &mut Random) -> Self {
        let credentials = match random.below(12) {
            0..6 => Credentials::Key(random.below(3), State::any_key(random)),
            6..9 => {
                let (name, number) = State::any_login(random);
                Credentials::Login(name, number)
            }
            9..11 => Credentials::Nothing,
            _ => Credentials::WrongServerKey(State::any_key(random)),
        };
        Kind { credentials, address: State::any_address(random) }
    }

    fn domain(self) -> usize {
        match self.credentials {
            Credentials::Key(domain, _) => domain,
            Credentials::WrongServerKey(_) => 0,
            Credentials::Login(..) => 3,
            Credentials::Nothing => 4,
        }
    }

    /// The request that libzmq makes for it. `None` if the two ends don't match.
    fn request(self, state: &State) -> Option<Vec<Vec<u8>>> {
        let address = address(self.address);
        let request =
            |mechanism, credentials: &[&[u8]]| zap::request(DOMAINS[self.domain()], &address, mechanism, credentials);
        Some(match self.credentials {
            Credentials::Key(_, key) => request("CURVE", &[state.keys[key].public.as_bytes()]),
            Credentials::Login(name, number) => request("PLAIN", &[user(name).as_bytes(), password(number).as_bytes()]),
            Credentials::Nothing => request("NULL", &[]),
            Credentials::WrongServerKey(_) => return None,
        })
    }

    fn connect(self, servers: &Servers, state: &State) -> Client {
        let endpoint = format!("tcp://{}:0;127.0.0.1:{}", address(self.address), servers.ports[self.domain()]);
        Client::new(&servers.context, &endpoint, |socket| {
            socket.set_reconnect_ivl(-1).unwrap();
            match self.credentials {
                Credentials::Key(_, key) => socket.curve_client(&state.keys[key], &servers.key),
                Credentials::WrongServerKey(key) => socket.curve_client(&state.keys[key], &state.keys[0].public),
                Credentials::Login(name, number) => socket.plain_client(&user(name), &password(number)),
                Credentials::Nothing => Ok(()),
            }
        })
    }
}

/// Connects all of them at once; then compares the outcome of each with the model.
pub(crate) fn run_together(kinds: impl Iterator<Item = Kind>, servers: &Servers, state: &State, tally: &mut Tally) {
    let clients: Vec<_> = kinds.map(|kind| (kind, kind.connect(servers, state))).collect();
    for (kind, mut client) in clients {
        let handshake = client.wait_for_handshake(crate::harness::DEADLINE).unwrap();
        let Some(request) = kind.request(state) else {
            assert!(matches!(handshake, Some(Handshake::Failed(_))), "{kind:?}: {handshake:?}");
            tally.mismatched += 1;
            continue;
        };
        let answer = state.decide(&request);
        if answer.status == 200 {
            assert_eq!(handshake, Some(Handshake::Authenticated), "{kind:?} is right");
            client.send("who am I?", 0).unwrap();
            let user_id = client.recv_bytes(0).expect("an answer within the deadline");
            assert_eq!(user_id, answer.user_id, "{kind:?}");
            tally.accepted[kind.domain()] += 1;
        } else {
            assert_eq!((handshake, answer.status), (Some(Handshake::Denied(400)), 400), "{kind:?} is wrong");
            tally.refused[kind.domain()] += 1;
        }
    }
}

impl Tally {
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.iter().sum()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.iter().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.accepted() + self.refused() + self.mismatched;
        writeln!(f, "{connections} connections, {} changes, no wrong decision", self.changes)?;
        for (domain, name) in DOMAINS.iter().enumerate() {
            writeln!(f, "{name}: {} accepted, {} refused", self.accepted[domain], self.refused[domain])?;
        }
        write!(f, "wrong server key: {}, the handler was not asked", self.mismatched)
    }
}
