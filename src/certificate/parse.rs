//! The parser of certificate files: pyzmq's, czmq's (ZPL, RFC 4) and hand-edited ones.
//!
//! Key lines are recognised as pyzmq does, by how they start, on any line. Metadata are the indented lines below
//! `metadata`.

use std::convert::Infallible;
use std::path::Path;
use std::str;

use super::{Certificate, CertificateKeys};
use crate::error::{Error, KeyProblem};
use crate::keys::{KeyPair, PublicKey, SecretKey};
use crate::metadata::Metadata;

pub(super) const PUBLIC_KEY: &str = "public-key";
pub(super) const SECRET_KEY: &str = "secret-key";
pub(super) const NOT_BEFORE: &str = "not-before";
pub(super) const NOT_AFTER: &str = "not-after";
pub(super) const COMMENT: char = '#';

/// A problem and its line, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParseError {
    line: Option<usize>,
    problem: &'static str,
}

impl ParseError {
    pub(super) fn in_file(self, path: &Path) -> Error {
        Error::Certificate { path: path.to_owned(), line: self.line, problem: self.problem }
    }
}

const NO_PUBLIC_KEY: ParseError = ParseError { line: None, problem: "has no public-key line" };

/// Parses a file, up to the first error. Comments may have any encoding.
pub(super) fn parse(bytes: &[u8]) -> Result<Certificate, ParseError> {
    let found = contents(bytes, Err)?;
    let public = found.public.ok_or(NO_PUBLIC_KEY)?;
    let keys = match found.secret {
        Some(secret) => CertificateKeys::Pair(KeyPair { public, secret }),
        None => CertificateKeys::Public(public),
    };
    Ok(Certificate { keys, metadata: found.metadata })
}

/// Every error of a file, in the order of its lines; the first is that of [`parse`].
pub(super) fn errors(bytes: &[u8]) -> Vec<ParseError> {
    let mut errors = Vec::new();
    let Ok(found) = contents(bytes, |error| {
        errors.push(error);
        Ok::<_, Infallible>(())
    });
    if !found.has_public_line {
        errors.push(NO_PUBLIC_KEY);
    }
    errors
}

/// Parses the lines. Each error is passed to `take_error`; if that returns `Ok`, parsing continues with the next line.
fn contents<E>(bytes: &[u8], mut take_error: impl FnMut(ParseError) -> Result<(), E>) -> Result<Contents, E> {
    let mut found = Contents::default();
    // Editors on Windows add a byte order mark.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1..) {
        if let Err(problem) = found.take(line) {
            take_error(ParseError { line: Some(number), problem })?;
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Contents {
    public: Option<PublicKey>,
    secret: Option<SecretKey>,
    metadata: Metadata,
    in_metadata: bool,
    /// There is a public-key line, valid or not.
    has_public_line: bool,
}

impl Contents {
    fn take(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let content = trimmed(line, is_blank);
        if content.is_empty() || content[0] == COMMENT as u8 {
            return Ok(());
        }
        if content.starts_with(PUBLIC_KEY.as_bytes()) {
            self.has_public_line = true;
            let key = PublicKey::from_z85(key_text(content)?).map_err(KeyProblem::text)?;
            return hold(&mut self.public, key, "a second public-key line, with another key");
        }
        if content.starts_with(SECRET_KEY.as_bytes()) {
            let key = SecretKey::from_z85(key_text(content)?).map_err(KeyProblem::text)?;
            return hold(&mut self.secret, key, "a second secret-key line, with another key");
        }
        let indented = is_blank(line[0]);
        if let Some(known) = nearly_known(content)
            && !(indented && self.in_metadata && is_time_line(content))
        {
            return Err(match known {
                NOT_BEFORE | NOT_AFTER => {
                    "nearly a not-before or not-after line: spell the name exactly, with a =, indented, below metadata"
                }
                _ => "nearly a key line: its name must be public-key or secret-key, in lower case",
            });
        }
        if !indented {
            let end = content.iter().position(|&byte| is_blank(byte) || byte == b'#').unwrap_or(content.len());
            self.in_metadata = &content[..end] == b"metadata";
        } else if self.in_metadata {
            self.take_metadata(content)?;
        }
        Ok(())
    }

    fn take_metadata(&mut self, content: &[u8]) -> Result<(), &'static str> {
        let content = str::from_utf8(content).map_err(|_| "metadata must be UTF-8 text")?;
        // In ZPL a name without a value heads its own section, which certificates don't have.
        let Some((name, value)) = content.split_once('=') else { return Ok(()) };
        let (name, value) = (trimmed_text(name), unquoted(trimmed_text(value)));
        if self.metadata.get(name).is_some_and(|held| held != value) {
            return Err("a second metadata line for one name, with another value");
        }
        self.metadata.insert_unreserved(name.to_owned(), value.to_owned()).map_err(|error| match error {
            Error::Metadata { problem, .. } => problem,
            _ => "metadata that can't be stored",
        })
    }
}

/// The known name that a line starts with, whatever its case and signs: a line that is meant to limit a certificate's
/// validity must not be ignored.
fn nearly_known(content: &[u8]) -> Option<&'static str> {
    let name = content.split(|byte| *byte == b'=').next().unwrap_or_default();
    let is_end = |byte: u8| is_blank(byte) || byte == b':';
    let ends = name.iter().enumerate().filter(|(_, byte)| is_end(**byte)).map(|(at, _)| at);
    // Tries prefixes of several words: `not after: 2027` has three.
    ends.take(7).chain([name.len()]).find_map(|end| equals_known(&name[..end]))
}

/// The known name with the same letters as this one.
pub(super) fn equals_known(name: &[u8]) -> Option<&'static str> {
    let letters = |name: &[u8]| -> Vec<u8> {
        name.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase).collect()
    };
    let name = letters(name);
    [NOT_BEFORE, NOT_AFTER, PUBLIC_KEY, SECRET_KEY].into_iter().find(|known| letters(known.as_bytes()) == name)
}

/// Whether the name before the `=` is exactly one of the two.
fn is_time_line(content: &[u8]) -> bool {
    let Some(end) = content.iter().position(|byte| *byte == b'=') else { return false };
    let name = trimmed(&content[..end], is_blank);
    name == NOT_BEFORE.as_bytes() || name == NOT_AFTER.as_bytes()
}

/// Stores a key. Of two different keys, nobody knows which is meant; the same key twice is fine.
fn hold<K: PartialEq>(place: &mut Option<K>, key: K, problem: &'static str) -> Result<(), &'static str> {
    match place {
        Some(held) if *held != key => Err(problem),
        _ => {
            *place = Some(key);
            Ok(())
        }
    }
}

/// The text after the first `=`, without blanks and quotes of either kind.
fn key_text(content: &[u8]) -> Result<&[u8], &'static str> {
    let equals = content.iter().position(|&byte| byte == b'=').ok_or("a key line without a =")?;
    Ok(trimmed(&content[equals + 1..], |byte| matches!(byte, b' ' | b'\t' | b'\'' | b'"')))
}

/// The text between quotes if the whole value is quoted (a comment may follow); otherwise the value as it is, including any
/// `#`: pyzmq writes such values without quotes.
fn unquoted(value: &str) -> &str {
    let Some(quote @ ('"' | '\'')) = value.chars().next() else { return value };
    match value[1..].split_once(quote) {
        Some((inner, rest)) if trimmed_text(rest).is_empty() || trimmed_text(rest).starts_with(COMMENT) => inner,
        _ => value,
    }
}

fn trimmed_text(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_ascii() && is_blank(character as u8))
}

fn trimmed(mut bytes: &[u8], drop: impl Fn(u8) -> bool) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && drop(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && drop(*last)
    {
        bytes = rest;
    }
    bytes
}

/// What Python's `bytes.strip()` removes: blank, tab, line feed, vertical tab, form feed, carriage return.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

#[cfg(test)]
mod tests;
