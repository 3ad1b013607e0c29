//! The cells of the matrix: a server, a client, a mechanism and a case.

use super::peer::{Ability, Mechanism, Peer, Role};

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Case {
    Allowed,
    WrongCredential,
    DeniedAddress,
    /// The server has a list of addresses that it accepts.
    AllowedAddress,
    WrongServerKey,
    /// The client's key is added while the server runs.
    Added,
    /// The client's key is removed while the server runs.
    Revoked,
    /// The server answers 300.
    PutOff,
    Ipc,
    IpcWrongCredential,
    /// The server has a list of addresses that it accepts, which can't contain ipc clients.
    IpcNotAllowed,
    /// All certificates were made by this peer.
    KeysBy(usize),
}

pub(crate) struct Cell {
    /// Indices in the list of peers.
    pub(crate) server: usize,
    pub(crate) client: usize,
    pub(crate) mechanism: Mechanism,
    pub(crate) case: Case,
}

impl Cell {
    pub(crate) fn case_name(&self, peers: &[Peer]) -> String {
        match self.case {
            Case::Allowed => "allowed".to_owned(),
            Case::WrongCredential => "wrong credential".to_owned(),
            Case::DeniedAddress => "denied address".to_owned(),
            Case::AllowedAddress => "allowed address".to_owned(),
            Case::WrongServerKey => "wrong server key".to_owned(),
            Case::Added => "added".to_owned(),
            Case::Revoked => "revoked".to_owned(),
            Case::PutOff => "put off".to_owned(),
            Case::Ipc => "ipc".to_owned(),
            Case::IpcWrongCredential => "ipc, wrong credential".to_owned(),
            Case::IpcNotAllowed => "ipc, not allowed".to_owned(),
            Case::KeysBy(maker) => format!("keys made by {}", peers[maker].name),
        }
    }

    /// Whether the client should be accepted in the end.
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.case, Case::Allowed | Case::AllowedAddress | Case::Added | Case::Ipc | Case::KeysBy(_))
    }

    pub(crate) fn is_over_ipc(&self) -> bool {
        matches!(self.case, Case::Ipc | Case::IpcWrongCredential | Case::IpcNotAllowed)
    }

    /// Whether the case is run for every pair of a server and a client.
    fn is_for_every_pair(&self) -> bool {
        match self.case {
            Case::Allowed | Case::WrongCredential => true,
            // NULL clients have no credential that could be wrong, so their refusal is tested by address.
            Case::DeniedAddress => self.mechanism == Mechanism::Null,
            _ => false,
        }
    }

    /// Whether both ends support the cell.
    fn is_possible(&self, peers: &[Peer]) -> bool {
        let (server, client) = (&peers[self.server], &peers[self.client]);
        let both = |ability| server.can(ability) && client.can(ability);
        let mechanism = self.mechanism;
        server.roles.contains(&Role::Server)
            && client.roles.contains(&Role::Client)
            && server.mechanisms.contains(&mechanism)
            && client.mechanisms.contains(&mechanism)
            && match self.case {
                Case::Allowed => true,
                Case::WrongCredential => mechanism != Mechanism::Null,
                Case::DeniedAddress | Case::AllowedAddress => server.can(Ability::AddressRules),
                Case::WrongServerKey => mechanism == Mechanism::Curve,
                Case::Added | Case::Revoked => mechanism == Mechanism::Curve && server.can(Ability::Reload),
                Case::PutOff => mechanism != Mechanism::Null && server.can(Ability::PutOff),
                Case::Ipc => both(Ability::Ipc),
                Case::IpcWrongCredential => mechanism != Mechanism::Null && both(Ability::Ipc),
                Case::IpcNotAllowed => both(Ability::Ipc) && server.can(Ability::AddressRules),
                Case::KeysBy(_) => mechanism == Mechanism::Curve,
            }
    }
}

/// The cells of the peers in `present`, and the number of cells left out because neither end is the peer `reference`.
pub(crate) fn list(
    peers: &[Peer],
    present: &[usize],
    mechanisms: &[Mechanism],
    reference: Option<usize>,
) -> (Vec<Cell>, usize) {
    let mut cases = vec![
        Case::Allowed,
        Case::WrongCredential,
        Case::DeniedAddress,
        Case::AllowedAddress,
        Case::WrongServerKey,
        Case::Added,
        Case::Revoked,
        Case::PutOff,
        Case::Ipc,
        Case::IpcWrongCredential,
        Case::IpcNotAllowed,
    ];
    let makers = present.iter().filter(|peer| peers[**peer].can(Ability::Certificates));
    cases.extend(makers.map(|maker| Case::KeysBy(*maker)));
    let (mut cells, mut left_out) = (Vec::new(), 0);
    for mechanism in mechanisms {
        for case in &cases {
            for server in present {
                for client in present {
                    let cell = Cell { server: *server, client: *client, mechanism: *mechanism, case: case.clone() };
                    let is_wanted = cell.is_for_every_pair() || [*server, *client].map(Some).contains(&reference);
                    match cell.is_possible(peers) {
                        true if is_wanted => cells.push(cell),
                        true => left_out += 1,
                        false => {}
                    }
                }
            }
        }
    }
    (cells, left_out)
}
