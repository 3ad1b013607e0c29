//! Metadata on the wire (RFC 23), and which of it may be sent.

const NEVER_SENT: [&str; 7] =
    ["identity", "routing-id", "socket-type", "user-id", "peer-address", "__fd", "zmq-auth-mark"];

pub type Property = (Vec<u8>, Vec<u8>);

/// Names and values; `None` where bytes are missing or left over.
pub fn decode(mut bytes: &[u8]) -> Option<Vec<Property>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(bytes[0]);
        let name = bytes.get(1..1 + length)?;
        let digits = bytes.get(1 + length..5 + length)?;
        let size = digits.iter().fold(0, |size, byte| size * 256 + usize::from(*byte));
        let value = bytes.get(5 + length..5 + length + size)?;
        found.push((name.to_vec(), value.to_vec()));
        bytes = &bytes[5 + length + size..];
    }
    Some(found)
}

/// What a set of properties becomes when one more is put into it; `None` where it is refused.
pub fn inserted(held: &[(String, String)], name: &str, value: &str) -> Option<Vec<(String, String)>> {
    if is_never_sent(name) {
        return None;
    }
    let named = !name.is_empty() && name.len() <= 255 && !name.chars().any(char::is_control);
    if !named || value.contains('\0') {
        return None;
    }
    let mut all = held.to_vec();
    let pair = (name.to_owned(), value.to_owned());
    match all.iter().position(|(held, _)| held == name) {
        Some(at) => all[at] = pair,
        None => all.push(pair),
    }
    let size: usize = all.iter().map(|(name, value)| 5 + name.len() + value.len()).sum();
    (size <= 65_535).then_some(all)
}

pub fn is_never_sent(name: &str) -> bool {
    NEVER_SENT.contains(&name.to_ascii_lowercase().as_str())
}
