//! A certificate file: key lines wherever they stand, and indented lines below `metadata`.

use super::z85;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    pub public: [u8; 32],
    pub secret: Option<[u8; 32]>,
    /// Lines of metadata; the first of each name.
    pub metadata: Vec<(String, String)>,
}

/// `None` for a file without one good public key, or with two that differ, or with a bad or second secret key. Whether its
/// metadata can be held is another question.
pub fn read(bytes: &[u8]) -> Option<Certificate> {
    let bytes = if bytes.starts_with(b"\xEF\xBB\xBF") { &bytes[3..] } else { bytes };
    let (mut public, mut secret, mut metadata) = (Vec::new(), Vec::new(), Vec::<(String, String)>::new());
    let mut below_metadata = false;
    for line in bytes.split(|byte| *byte == b'\n') {
        let content = strip(line, b" \t\n\x0B\x0C\r");
        if content.is_empty() || content.starts_with(b"#") {
            continue;
        }
        if content.starts_with(b"public-key") {
            public.push(key(content)?);
        } else if content.starts_with(b"secret-key") {
            secret.push(key(content)?);
        } else if let Some(known) = nearly_known(content) {
            // A time, exactly so and in its place, or an error.
            let name = strip(content.split(|byte| *byte == b'=').next()?, b" \t\n\x0B\x0C\r");
            let is_right = content.contains(&b'=') && name == known.as_bytes() && known.starts_with("not");
            if !is_right || !below_metadata || content[0] == line[0] {
                return None;
            }
            let (name, value) = pair(content)?;
            if !metadata.iter().any(|(held, _)| *held == name) {
                metadata.push((name, value));
            }
        } else if content[0] == line[0] {
            // Nothing was stripped in front: a section begins.
            let name = content.split(|byte| b" \t\x0B\x0C\r#".contains(byte)).next()?;
            below_metadata = name == b"metadata";
        } else if below_metadata
            && let Some((name, value)) = pair(content)
            && !metadata.iter().any(|(held, _)| *held == name)
        {
            metadata.push((name, value));
        }
    }
    let one = |keys: &[[u8; 32]]| keys.iter().all(|key| *key == keys[0]);
    if public.is_empty() || !one(&public) || !one(&secret) {
        return None;
    }
    Some(Certificate { public: public[0], secret: secret.first().copied(), metadata })
}

/// The known name that has the letters and digits of this line's.
fn nearly_known(line: &[u8]) -> Option<&'static str> {
    let letters = |bytes: &[u8]| -> String {
        let kept = bytes.iter().filter(|byte| byte.is_ascii_alphanumeric());
        kept.map(|byte| char::from(byte.to_ascii_lowercase())).collect()
    };
    let known = |name: &[u8]| {
        ["not-before", "not-after", "public-key", "secret-key"]
            .into_iter()
            .find(|known| known.replace('-', "") == letters(name))
    };
    // The whole name, or its first words: up to seven.
    let name = line.split(|byte| *byte == b'=').next()?;
    let ends: Vec<usize> = (0..name.len()).filter(|at| b" \t\n\x0B\x0C\r:".contains(&name[*at])).collect();
    ends.into_iter().take(7).find_map(|end| known(&name[..end])).or_else(|| known(name))
}

fn key(line: &[u8]) -> Option<[u8; 32]> {
    let at = line.iter().position(|byte| *byte == b'=')?;
    z85::decode(strip(&line[at + 1..], b" \t'\""))
}

fn pair(line: &[u8]) -> Option<(String, String)> {
    let text = String::from_utf8(line.to_vec()).ok()?;
    let at = text.find('=')?;
    let blank = |text: &str| text.trim_matches([' ', '\t', '\n', '\x0B', '\x0C', '\r']).to_owned();
    let (name, value) = (blank(&text[..at]), blank(&text[at + 1..]));
    for quote in ['"', '\''] {
        // In quotes as a whole, or in quotes and then a comment.
        if let Some(rest) = value.strip_prefix(quote)
            && let Some(end) = rest.find(quote)
        {
            let behind = blank(&rest[end + 1..]);
            if behind.is_empty() || behind.starts_with('#') {
                return Some((name, rest[..end].to_owned()));
            }
        }
    }
    Some((name, value))
}

fn strip<'a>(mut bytes: &'a [u8], blanks: &[u8]) -> &'a [u8] {
    while !bytes.is_empty() && blanks.contains(&bytes[0]) {
        bytes = &bytes[1..];
    }
    while !bytes.is_empty() && blanks.contains(&bytes[bytes.len() - 1]) {
        bytes = &bytes[..bytes.len() - 1];
    }
    bytes
}
