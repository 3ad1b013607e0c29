//! A password file: lines `name=password`.

use std::str;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    Clear(Vec<u8>),
    /// In a PHC string of argon2id. (Whether it can be used, its own parser says.)
    Hashed(Vec<u8>),
}

/// Users and passwords in their order; `None` for a file that is an error.
pub fn read(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Password)>> {
    let bytes = if bytes.starts_with(b"\xEF\xBB\xBF") { &bytes[3..] } else { bytes };
    let mut users: Vec<(Vec<u8>, Password)> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = if line.ends_with(b"\r") { &line[..line.len() - 1] } else { line };
        let is_blank = line.iter().all(|byte| b" \t\r\x0C".contains(byte));
        if is_blank || line[0] == b'#' {
            continue;
        }
        let mut parts = line.splitn(2, |byte| *byte == b'=');
        let (name, password) = (parts.next()?, parts.next()?);
        let is_name = (1..=255).contains(&name.len()) && str::from_utf8(name).is_ok() && !name.contains(&0);
        if name_holds_a_hash(name) || password == b"=" {
            return None;
        }
        if !is_name || users.iter().any(|(held, _)| held == name) {
            return None;
        }
        let password = if password.first() == Some(&b'$') && looks_hashed(password) {
            let parts: Vec<_> = password.split(|byte| *byte == b'$').collect();
            if parts.len() != 6 || parts[1] != b"argon2id" || parts[2] != b"v=19" {
                return None;
            }
            Password::Hashed(password.to_vec())
        } else if looks_hashed(password) || is_digest(password) {
            return None;
        } else if (1..=255).contains(&password.len()) {
            Password::Clear(password.to_vec())
        } else {
            return None;
        };
        users.push((name.to_vec(), password));
    }
    Some(users)
}

/// Whether it is marked as a hash: behind signs and blanks, `$name$`, `{scheme}` or `algorithm$` (or `:`, and no blank in
/// it); or anywhere, by what is in no password by chance.
pub fn looks_hashed(text: &[u8]) -> bool {
    // Bytes as characters, each for itself.
    let text: String = text.iter().map(|byte| char::from(*byte)).collect();
    let lower = text.to_ascii_lowercase();
    let anywhere = ["$argon2", "$pbkdf2", "$scrypt$", "$bcrypt", "$2a$", "$2b$", "$2x$", "$2y$", "$apr1$"];
    if anywhere.iter().any(|mark| lower.contains(mark)) {
        return true;
    }
    let core = lower.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && c != '$' && c != '{');
    let is_word = |word: &str, signs: &str| {
        (1..=32).contains(&word.len()) && word.chars().all(|c| c.is_ascii_alphanumeric() || signs.contains(c))
    };
    if let Some((word, _)) = core.strip_prefix('$').and_then(|rest| rest.split_once('$')) {
        return is_word(word, "-_,=");
    }
    if let Some((word, _)) = core.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        return is_word(word, "-_.+");
    }
    let blanks = [' ', '\t', '\n', '\x0C', '\r'];
    if core.trim_end_matches(blanks).contains(blanks) {
        return false;
    }
    let Some((word, _)) = core.split_once(['$', ':']) else { return false };
    let word = word.replace(['-', '_'], "");
    let names = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ssha", "crypt"];
    let families = ["argon2", "bcrypt", "scrypt", "yescrypt", "pbkdf2", "scram"];
    names.contains(&&*word) || families.iter().any(|family| word.starts_with(family))
}

/// Hexadecimal digits, as many as MD5 or a SHA makes, between signs; `md5` may stand before them.
fn is_digest(text: &[u8]) -> bool {
    let text: String = text.iter().map(|byte| char::from(*byte)).collect();
    let text = text.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '$' && c != '{');
    let text = text.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    [text, text.strip_prefix("md5").unwrap_or(text)].iter().any(|digits| {
        [32, 40, 56, 64, 96, 128].contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit())
    })
}

/// Whether the name, or what is behind a delimiter in it, is marked as a hash.
fn name_holds_a_hash(name: &[u8]) -> bool {
    let delimiters = b":;,|\"' \t\n\x0C\r";
    looks_hashed(name) || (0..name.len()).any(|at| delimiters.contains(&name[at]) && looks_hashed(&name[at + 1..]))
}
