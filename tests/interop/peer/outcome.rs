//! The outcome of a handshake, in the words that both languages' peers use.

use zmq_auth::Handshake;

pub(crate) fn words(handshake: Handshake) -> String {
    match handshake {
        Handshake::Authenticated => "succeeded".into(),
        Handshake::Denied(code) => format!("denied {code}"),
        Handshake::Unreachable => "unreachable".into(),
        _ => "failed".into(),
    }
}
