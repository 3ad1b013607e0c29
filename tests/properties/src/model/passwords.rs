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
        if !is_name || users.iter().any(|(held, _)| held == name) {
            return None;
        }
        let password = if is_hash(password) {
            let parts: Vec<_> = password.split(|byte| *byte == b'$').collect();
            if parts.len() != 6 || parts[1] != b"argon2id" || parts[2] != b"v=19" {
                return None;
            }
            Password::Hashed(password.to_vec())
        } else if (1..=255).contains(&password.len()) {
            Password::Clear(password.to_vec())
        } else {
            return None;
        };
        users.push((name.to_vec(), password));
    }
    Some(users)
}

/// `$algorithm$…`, whose name has 1 to 32 letters, digits and dashes (PHC string format).
fn is_hash(password: &[u8]) -> bool {
    let parts: Vec<_> = password.split(|byte| *byte == b'$').collect();
    parts.len() > 2
        && parts[0].is_empty()
        && (1..=32).contains(&parts[1].len())
        && parts[1].iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}
