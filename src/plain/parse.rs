//! The parser of password files: lines of `name=value`, as czmq reads them, every byte unchanged.

use std::collections::HashSet;
use std::convert::Infallible;

use super::table::StoredPassword;
use super::{MAX_LENGTH, Password, hash_like};

/// The line, counted from 1, and its problem.
pub(super) type LineError = (usize, &'static str);

/// A name and a password.
pub(super) type UserLine = (Box<[u8]>, StoredPassword);

/// Parses names and passwords, up to the first error. Comments (lines that start with `#`) and blank lines are skipped; the
/// value is everything after the first `=`. A value that looks like a hash must be one that can be checked: see [`hash_like`].
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<UserLine>, LineError> {
    let mut users = Vec::new();
    lines(bytes, |line| {
        let (name, stored) = line?;
        users.push((name.into(), stored));
        Ok(())
    })?;
    Ok(users)
}

/// Every error of a file, in the order of its lines; the first is that of [`parse`].
pub(super) fn errors(bytes: &[u8]) -> Vec<LineError> {
    let mut errors = Vec::new();
    let Ok(()) = lines(bytes, |line| {
        errors.extend(line.err());
        Ok::<_, Infallible>(())
    });
    errors
}

/// Passes on each line's user or error, for as long as that returns `Ok`.
fn lines<'b, E>(
    bytes: &'b [u8],
    mut take: impl FnMut(Result<(&'b [u8], StoredPassword), LineError>) -> Result<(), E>,
) -> Result<(), E> {
    // Editors on Windows add a byte order mark.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut names = HashSet::new();
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"#") || line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let user = user(line).and_then(|(name, stored)| match names.insert(name) {
            true => Ok((name, stored)),
            false => Err("has the same user name as an earlier line: remove one of them"),
        });
        take(user.map_err(|problem| (number, problem)))?;
    }
    Ok(())
}

fn user(line: &[u8]) -> Result<(&[u8], StoredPassword), &'static str> {
    let equals = line.iter().position(|&byte| byte == b'=').ok_or("has no =: a line is name=password")?;
    let (name, value) = (&line[..equals], &line[equals + 1..]);
    let text = str::from_utf8(name).map_err(|_| "has a user name that isn't UTF-8")?;
    if text.contains('\0') {
        return Err("has a user name with a NUL byte");
    }
    match name.len() {
        0 => return Err("has an empty user name, which libzmq clients can't send"),
        1..=MAX_LENGTH => {}
        _ => return Err("has a user name of more than 255 bytes, libzmq's limit"),
    }
    if hash_like::swallowed_a_hash(name) {
        return Err(HASH_IN_NAME);
    }
    if begins_hashed(value) {
        return Ok((name, hashed(value)?));
    }
    if hash_like::is_marked(value) {
        return Err(
            "has a password that looks like a hash: a hash must begin with $argon2id$ right after the =, and a clear \
                    password can't look like one",
        );
    }
    if hash_like::is_digest(value) {
        return Err("has a password with as many hexadecimal digits as an MD5 or SHA hash: if it isn't one, let \
                    PasswordFile::line hash it");
    }
    match value.len() {
        1 if value == b"=" => Err("has a = as its password, which is how a hash in base64 ends"),
        0 => Err("has an empty password, which libzmq clients can't send"),
        1..=MAX_LENGTH => Ok((name, StoredPassword::Clear(Password::from(value)))),
        _ => Err("has a password of more than 255 bytes, libzmq's limit"),
    }
}

#[cfg(feature = "argon2")]
fn hashed(value: &[u8]) -> Result<StoredPassword, &'static str> {
    super::hash::Phc::parse(value).map(|phc| StoredPassword::Hashed(Box::new(phc)))
}

#[cfg(not(feature = "argon2"))]
fn hashed(_: &[u8]) -> Result<StoredPassword, &'static str> {
    Err("has a hashed password, which needs the feature `argon2` of zmq-auth")
}

/// Whether the value is a PHC or crypt(3) string from its first byte, of any algorithm.
fn begins_hashed(value: &[u8]) -> bool {
    value.starts_with(b"$") && hash_like::is_marked(value)
}

const HASH_IN_NAME: &str =
    "has a user name that contains what looks like a hash: is there another character in place of the =?";

/// Whether a line can contain the name.
#[cfg(feature = "argon2")]
pub(super) fn check_name(name: &str) -> Result<(), &'static str> {
    if let Some(problem) = super::problem(name.as_bytes()) {
        return Err(problem);
    }
    if name.starts_with('#') || name.starts_with('\u{feff}') {
        return Err("starts like a comment: no line could contain it");
    }
    if name.contains(['=', '\n', '\r', '\0']) {
        return Err("has a =, a line break or a NUL: no line could contain it");
    }
    if hash_like::swallowed_a_hash(name.as_bytes()) {
        return Err("looks like a name and a hash: no line could contain it");
    }
    Ok(())
}
