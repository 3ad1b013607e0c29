//! The likely causes of an outcome, most likely first, and what to check for each.

use std::path::Path;

use serde::Serialize;
use zmq_auth::ProtocolError;

use super::endpoint::Target;
use super::reach::{Greeting, Reach};
use crate::escape;

/// `ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH`.
pub(super) const OTHER_MECHANISM: u32 = 0x1100_0002;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Mechanism {
    Curve,
    Plain,
    Null,
}

/// A possible cause, and what to check.
#[derive(Serialize)]
pub(super) struct Cause {
    /// A stable name: `server-key`, `socket-type`, …
    cause: &'static str,
    /// What it is, and what to check.
    pub(super) text: String,
}

impl Mechanism {
    pub(super) fn name(self) -> &'static str {
        match self {
            Mechanism::Curve => "CURVE",
            Mechanism::Plain => "PLAIN",
            Mechanism::Null => "NULL",
        }
    }
}

/// The caveat about "authenticated".
pub(super) fn what_authenticated_means(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Curve => {
            "The server has proved that it has its certificate's secret key. A client can't know whether a ZAP handler decided: \
             without one, a server that doesn't enforce its domain accepts every key."
        }
        Mechanism::Plain => {
            "The server has not proved who it is, and the password was sent unencrypted. A client can't know whether a ZAP \
             handler decided: without one, a server that doesn't enforce its domain accepts every password."
        }
        Mechanism::Null => {
            "NULL has no credentials. A server without a ZAP domain asks no handler: it accepts every client that can reach it."
        }
    }
}

pub(super) fn denied(mechanism: Mechanism, status: u32) -> Vec<Cause> {
    if status == 300 {
        return vec![put_off()];
    }
    let mut causes = Vec::new();
    let address =
        cause("address", "The server's address rules refuse this client's address. Check them on the server.");
    let domain =
        "The server's ZAP domain has no source for this mechanism. Check its name on the socket and in the policy.";
    let internal = "The handler could not decide, for example because a callback failed. The server's log says why.";
    if status != 400 {
        causes.push(cause("handler-error", internal));
    }
    match mechanism {
        Mechanism::Curve => {
            causes.push(cause(
                "client-key",
                "The client's public key is not among those that the server accepts. Check that the client's NAME.key is in \
                 the server's directory, and that it was loaded.",
            ));
            causes.push(cause(
                "validity",
                "The client's certificate has expired, or is not yet valid. Check not-before and not-after in the file on \
                 the server, and both clocks.",
            ));
            causes.extend([cause("domain", domain), address]);
        }
        Mechanism::Plain => {
            causes.push(cause(
                "credentials",
                "The user name or the password is wrong. Check both in the server's password file.",
            ));
            causes.extend([cause("domain", domain), address]);
        }
        Mechanism::Null => causes.extend([address, cause("domain", domain)]),
    }
    causes
}

/// The cause that the other end's greeting proves: it isn't a server of this mechanism.
pub(super) fn greeted(mechanism: Mechanism, greeting: &Greeting) -> Option<Cause> {
    match greeting {
        Greeting::Mechanism(name) if name == mechanism.name() => None,
        Greeting::Mechanism(name) => Some(other_mechanism(mechanism, Some(name))),
        Greeting::OtherProtocol => Some(cause(
            "not-zeromq",
            "The other end speaks another protocol, or that of ZeroMQ before version 3, which has no authentication. Check \
             the port.",
        )),
        Greeting::Unfinished => Some(cause(
            "slow",
            "The other end's greeting was not complete in time. Try again with a longer --timeout; if that doesn't help, the \
             process hangs, or a proxy in front of it.",
        )),
        Greeting::Nothing => Some(cause(
            "not-zeromq",
            "The other end accepts the connection, but doesn't send the greeting that every ZeroMQ server sends: it is another \
             program, a proxy without a server behind it, or it hangs. Check the port and the process.",
        )),
    }
}

/// A ZeroMQ server of this mechanism hung up.
pub(super) fn closed(mechanism: Mechanism, tried: &str, server: Option<&Path>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(server) = server {
        let text = format!(
            "{} is not this server's certificate. Compare its public key with the one that the server uses.",
            escape::path(server)
        );
        causes.push(Cause { cause: "server-key", text });
    }
    causes.extend([socket_type(tried), put_off()]);
    if mechanism != Mechanism::Null {
        causes.push(cause(
            "no-handler",
            "No ZAP handler runs in the server's context. Check that the authenticator was started before the socket was \
             bound, in the same context, and is still running.",
        ));
    }
    causes.push(cause("lost", "The server was stopped, or the connection was cut. Try again."));
    causes
}

/// A ZeroMQ server of this mechanism accepted the connection, and nothing came.
pub(super) fn silent(mechanism: Mechanism, tried: &str) -> Vec<Cause> {
    let no_handler = cause(
        "no-handler",
        "No ZAP handler answers in the server's context. Check that the authenticator was started before the socket was bound, \
         in the same context, and is still running.",
    );
    let slow = cause("slow", "The decision takes longer than this. Try again with a longer --timeout.");
    match mechanism {
        Mechanism::Null => vec![socket_type(tried), no_handler, put_off(), slow],
        _ => vec![put_off(), no_handler, slow],
    }
}

/// libzmq reported a violation of the protocol.
pub(super) fn violation(mechanism: Mechanism, error: ProtocolError, tried: &str) -> Vec<Cause> {
    if error.code() == OTHER_MECHANISM {
        return vec![other_mechanism(mechanism, None)];
    }
    let other = cause(
        "other-library",
        "The server doesn't use libzmq and refused the client in its own way. Check the credentials, and its log.",
    );
    match mechanism {
        Mechanism::Null => vec![socket_type(tried), other],
        _ => vec![other, socket_type(tried)],
    }
}

fn other_mechanism(mechanism: Mechanism, server: Option<&str>) -> Cause {
    let text = match server {
        Some("CURVE") => {
            "The server's mechanism is CURVE. Use --server FILE --key FILE, or check its set-up.".to_owned()
        }
        Some("PLAIN") => "The server's mechanism is PLAIN. Use --plain USER, or check its set-up.".to_owned(),
        Some("NULL") => {
            "The server's mechanism is NULL: no other was set, or only after bind. Check its set-up.".to_owned()
        }
        Some(other) => {
            format!("The server's mechanism is {}, which this program cannot use.", escape::text(other))
        }
        None => format!("The server's mechanism is not {}. Check its set-up.", mechanism.name()),
    };
    Cause { cause: "mechanism", text }
}

pub(super) fn unreachable(target: &Target, reach: &Reach) -> Vec<Cause> {
    match (target, reach) {
        (Target::Tcp { host, .. }, Reach::NoName(_)) => {
            let host = escape::text(host);
            let text = format!("The name {host} is misspelt or not known here. Check it with: getent hosts {host}");
            vec![Cause { cause: "name", text }]
        }
        (Target::Tcp { port, .. }, Reach::Refused) => vec![
            Cause {
                cause: "not-listening",
                text: format!("No server listens on port {port}. Check that it runs, and which port it has bound."),
            },
            cause(
                "other-address",
                "The server is bound to another address, such as 127.0.0.1. Check its bind call, or run: ss -ltn",
            ),
            cause("firewall", "A firewall rejects the connection. Check its rules at both ends."),
        ],
        (Target::Tcp { .. }, Reach::NoAnswer) => vec![
            cause("firewall", "A firewall drops the packets. Check its rules at both ends and in between."),
            cause("host", "The host is off, or the address is not the server's. Check the address."),
        ],
        (Target::Ipc(_), Reach::NoFile) => vec![cause(
            "no-file",
            "The server doesn't run, or is bound to another path. A relative path is taken from the directory that each \
             program runs in: write an absolute one.",
        )],
        (Target::Ipc(_), Reach::NoPermission) => vec![cause(
            "permission",
            "This user may not connect to the socket. Check the owner and mode of the socket and of the directories above it: \
             connecting needs write access to the socket.",
        )],
        (Target::Ipc(_), Reach::Refused) => vec![cause(
            "not-listening",
            "The file was left behind by a server that has ended, or isn't a socket. Check that the server runs.",
        )],
        (_, Reach::Accepts(_)) => {
            vec![cause("just-started", "The server has just started, or restarts. Try again.")]
        }
        (Target::Tcp { .. }, _) => {
            vec![cause(
                "network",
                "There is no route to the host. Check the address, and the routes with: ip route get ADDRESS",
            )]
        }
        (Target::Ipc(_), _) => vec![cause("path", "Nothing can be connected to at this path. Check it.")],
    }
}

/// The server answered 300: libzmq then either hangs up, or waits until `ZMQ_HANDSHAKE_IVL` has passed.
fn put_off() -> Cause {
    cause(
        "put-off",
        "The server told the client to retry (status 300): after too many failures, or because it is overloaded. Wait some \
         minutes and try again; the server's log and counters say which.",
    )
}

fn socket_type(tried: &str) -> Cause {
    let text = format!(
        "The server's socket type doesn't match {tried}. Check it: dealer is for REP, ROUTER and DEALER, sub for PUB and XPUB, \
         push for PULL; none of them matches a server that is PAIR, SUB or PUSH."
    );
    Cause { cause: "socket-type", text }
}

fn cause(cause: &'static str, text: &str) -> Cause {
    Cause { cause, text: text.to_owned() }
}
