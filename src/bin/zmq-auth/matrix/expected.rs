//! The expected result of a cell, and the differences from it.

use super::cell::{Case, Cell};
use super::exchange::{ClientSaid, Handshake, Identity, Seen, ServerSaid};
use super::peer::{Peer, Report};

/// The differences between what both ends printed and what is expected. Their texts contain no ports or keys, so that
/// the list of known differences can quote them.
pub(crate) fn differences(cell: &Cell, peers: &[Peer], seen: &Seen) -> Vec<String> {
    let (server, client) = (&peers[cell.server], &peers[cell.client]);
    let compare = |is_accepted, server_said, client_said| match is_accepted {
        true => accepted(server, client, server_said, client_said, &seen.identity),
        false => refused(cell, server, client, server_said, client_said),
    };
    let mut differences = Vec::new();
    if let Some((before_server, before_client)) = &seen.before {
        let before = compare(!cell.is_accepted(), before_server, before_client);
        differences.extend(before.into_iter().map(|text| format!("before the change: {text}")));
    }
    differences.extend(compare(cell.is_accepted(), &seen.server, &seen.client));
    differences
}

fn accepted(
    server: &Peer,
    client: &Peer,
    server_said: &ServerSaid,
    client_said: &ClientSaid,
    identity: &Identity,
) -> Vec<String> {
    let mut differences = Vec::new();
    match server_said.requests {
        0 => differences.push("server: no request".to_owned()),
        1 => {}
        _ => differences.push("server: the request more than once".to_owned()),
    }
    match (client_said.reply.as_deref(), &client_said.no_reply) {
        (Some("world"), _) => {}
        (Some(_), _) => differences.push("client: another reply".to_owned()),
        (None, why) => differences.push(format!("client: no reply ({})", why.as_deref().unwrap_or_default())),
    }
    if server_said.requests > 0 {
        let properties = [
            ("user id", Report::UserId, &identity.user_id, &server_said.user_id),
            ("address", Report::Address, &identity.address, &server_said.address),
        ];
        for (name, _, expected, told) in properties.into_iter().filter(|(_, report, ..)| server.reports(*report)) {
            differences.extend(property(name, expected, told.as_deref().unwrap_or_default()));
        }
    }
    let expected = |handshake: &Handshake| handshake.outcome == "succeeded";
    let server_reports = server.reports(Report::ServerHandshake);
    differences.extend(handshakes("server", server_reports, &server_said.handshakes, expected));
    let client_reports = client.reports(Report::ClientHandshake);
    differences.extend(handshakes("client", client_reports, &client_said.handshakes, expected));
    differences
}

fn refused(
    cell: &Cell,
    server: &Peer,
    client: &Peer,
    server_said: &ServerSaid,
    client_said: &ClientSaid,
) -> Vec<String> {
    let mut differences = Vec::new();
    if server_said.requests > 0 {
        differences.push("server: a request of a refused client".to_owned());
    }
    if client_said.reply.is_some() {
        differences.push("client: a reply in spite of the refusal".to_owned());
    }
    let server_reports = server.reports(Report::ServerHandshake);
    let client_reports = client.reports(Report::ClientHandshake);
    let denied = |status| move |handshake: &Handshake| handshake.outcome == "denied" && is(handshake.code, status);
    let failed = |handshake: &Handshake| handshake.outcome == "failed";
    match cell.case {
        Case::WrongServerKey => {
            // The server can't read what the client sends, and may not recognise it as a handshake.
            differences.extend(handshakes("server", false, &server_said.handshakes, failed));
            differences.extend(handshakes("client", false, &client_said.handshakes, failed));
        }
        Case::PutOff => {
            // The client isn't told; it should try again by itself.
            differences.extend(handshakes("server", server_reports, &server_said.handshakes, denied(300)));
            differences.extend(handshakes("client", false, &client_said.handshakes, failed));
        }
        _ => {
            differences.extend(handshakes("server", server_reports, &server_said.handshakes, denied(400)));
            differences.extend(handshakes("client", client_reports, &client_said.handshakes, denied(400)));
        }
    }
    if client_said.no_reply.as_deref().is_some_and(|why| why.starts_with("error")) {
        differences.push("client: an error".to_owned());
    }
    differences
}

fn is(code: Option<u64>, expected: u64) -> bool {
    code.is_none_or(|code| code == expected)
}

/// The difference in a property, if any. Libraries omit empty properties.
fn property(name: &str, expected: &str, told: &str) -> Option<String> {
    match (expected, told) {
        _ if expected == told => None,
        (_, "") => Some(format!("server: no {name}")),
        ("", _) => Some(format!("server: a {name} that nobody has shown")),
        _ => Some(format!("server: another {name}")),
    }
}

fn handshakes(
    end: &str,
    must_report: bool,
    handshakes: &[Handshake],
    is_expected: impl Fn(&Handshake) -> bool,
) -> Vec<String> {
    if handshakes.is_empty() && must_report {
        return vec![format!("{end}: no handshake reported")];
    }
    let mut differences: Vec<String> = handshakes
        .iter()
        .filter(|handshake| !is_expected(handshake))
        .map(|handshake| format!("{end}: handshake {}", words(handshake)))
        .collect();
    differences.sort();
    differences.dedup();
    differences
}

pub(crate) fn words(handshake: &Handshake) -> String {
    match handshake.code {
        Some(code) => format!("{} {code}", handshake.outcome),
        None => handshake.outcome.clone(),
    }
}
