//! What is expected of a cell, and in what it differs from that.

use super::cell::{Case, Cell};
use super::exchange::{ClientSaid, Handshake, Seen, ServerSaid};
use super::peer::{Peer, Report};

/// The differences between what both ends said and what is expected. The texts have no ports and keys in them: they stand
/// in the list of known differences.
pub(crate) fn differences(cell: &Cell, peers: &[Peer], seen: &Seen) -> Vec<String> {
    let (server, client) = (&peers[cell.server], &peers[cell.client]);
    if cell.is_accepted() {
        return accepted(cell, server, client, (&seen.server, &seen.client), seen.user_id.as_deref());
    }
    let mut differences = Vec::new();
    if let Some((before_server, before_client)) = &seen.before {
        let before = accepted(cell, server, client, (before_server, before_client), seen.user_id.as_deref());
        differences.extend(before.into_iter().map(|text| format!("before the revocation: {text}")));
    }
    differences.extend(refused(cell, server, client, &seen.server, &seen.client));
    differences
}

fn accepted(
    cell: &Cell,
    server: &Peer,
    client: &Peer,
    (server_said, client_said): (&ServerSaid, &ClientSaid),
    user_id: Option<&str>,
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
        let expected = user_id.filter(|_| server.reports(Report::UserId));
        differences.extend(property("user id", expected, server_said.user_id.as_deref()));
        let is_tcp = !matches!(cell.case, Case::Ipc | Case::IpcWrongCredential);
        let expected = Some("127.0.0.1").filter(|_| is_tcp && server.reports(Report::Address));
        differences.extend(property("address", expected, server_said.address.as_deref()));
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
            // The server can't read what the client sends, and need not know that it was a handshake.
            differences.extend(handshakes("server", false, &server_said.handshakes, failed));
            differences.extend(handshakes("client", false, &client_said.handshakes, failed));
        }
        Case::PutOff => {
            // The client isn't told: it is to try again by itself.
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

fn property(name: &str, expected: Option<&str>, told: Option<&str>) -> Option<String> {
    match (expected, told) {
        (Some(expected), Some(told)) if expected == told => None,
        (Some(_), Some("")) => Some(format!("server: the {name} is empty")),
        (Some(_), Some(_)) => Some(format!("server: another {name}")),
        (Some(_), None) => Some(format!("server: no {name}")),
        (None, _) => None,
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
