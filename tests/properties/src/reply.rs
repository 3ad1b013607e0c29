//! Replies: a callback's verdict, on the wire.
//!
//! The bytes are parts with a record separator (0x1E) between: what the callback says, then `name=value` of metadata.

use zmq_auth::{Authenticator, Metadata, PublicKey, Verdict};

use crate::model::metadata::{self, Property};

const KEY: [u8; 32] = [7; 32];

/// The first part's first character chooses the verdict; the rest of it is its text or user id.
pub fn holds(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\x1E');
    let said = parts.next().unwrap_or_default();
    let (metadata, pairs) = filled(parts);
    let mut rest = said.chars();
    let choice = rest.next();
    let said = rest.as_str().to_owned();
    let (verdict, status) = match choice {
        Some('d') => (Verdict::Deny(said.clone().into()), "400"),
        Some('r') => (Verdict::Retry, "300"),
        Some('f') => (Verdict::Fault(said.clone().into()), "500"),
        Some('a') => (Verdict::Allow, "200"),
        _ if said.contains('\0') => (Verdict::AllowAs { user_id: said.clone(), metadata }, "500"),
        _ => (Verdict::AllowAs { user_id: said.clone(), metadata }, "200"),
    };
    let is_named = matches!(verdict, Verdict::AllowAs { .. });

    let auth = Authenticator::new();
    auth.configure_curve_callback("d", move |_, _| verdict.clone()).unwrap();
    let request_id = said.as_bytes();
    let request = [b"1.0", request_id, b"d", b"127.0.0.1", b"", b"CURVE", &KEY];
    let reply = auth.handle_zap_message(&request).unwrap();

    let [version, id, code, text, user_id, encoded] = &reply[..] else { panic!("{} frames", reply.len()) };
    assert_eq!((&version[..], &id[..]), (&b"1.0"[..], request_id));
    assert_eq!(code, status.as_bytes(), "{choice:?}");
    let properties = metadata::decode(encoded).expect("metadata is framed as RFC 23 says");
    assert_are_sendable(&properties);
    match status {
        "200" if is_named => {
            assert_eq!(user_id, said.as_bytes());
            let pairs = pairs.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes()));
            assert_eq!(properties, pairs.collect::<Vec<_>>());
        }
        "200" => {
            assert_eq!(user_id, PublicKey::from(KEY).to_string().as_bytes());
            assert!(properties.is_empty());
        }
        _ => assert!(user_id.is_empty() && properties.is_empty(), "nothing is told of who is refused"),
    }
    if matches!(choice, Some('d' | 'f')) {
        assert_eq!(text, said.as_bytes(), "a callback's reason");
    }
}

/// Nothing that libzmq gives a meaning to, and nothing that it would cut.
pub fn assert_are_sendable(properties: &[Property]) {
    for (name, value) in properties {
        assert!(!name.is_empty() && !value.contains(&0), "{name:?}: {value:?}");
        assert!(!metadata::is_never_sent(&String::from_utf8_lossy(name)), "{name:?} was sent");
    }
}

fn filled<'a>(parts: impl Iterator<Item = &'a str>) -> (Metadata, Vec<(String, String)>) {
    let (mut metadata, mut pairs) = (Metadata::default(), Vec::new());
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let after = metadata::inserted(&pairs, name, value);
        assert_eq!(metadata.insert(name, value).is_ok(), after.is_some(), "{name:?} = {value:?}");
        pairs = after.unwrap_or(pairs);
    }
    assert!(metadata.iter().eq(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
    (metadata, pairs)
}
