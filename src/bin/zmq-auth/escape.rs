//! Escaping of text from files and arguments, so that it can't affect a terminal or a shell.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Serialize, Serializer};

/// Escapes control characters, line ends, and characters that change the direction of writing.
pub(crate) fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        let ends_a_line = matches!(character, '\u{2028}' | '\u{2029}');
        if character.is_control() || turns || ends_a_line {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Escapes a path, as [`text`] does.
pub(crate) fn path(path: &Path) -> String {
    text(&path.to_string_lossy())
}

/// Text as a word of a command for a POSIX shell.
pub(crate) fn word(text: &str) -> String {
    bytes_as_word(text.as_bytes())
}

/// A path as a word of a command for a POSIX shell.
pub(crate) fn shell(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    // A word that begins with a dash would be read as an option.
    if bytes.starts_with(b"-") { bytes_as_word(&[b"./", bytes].concat()) } else { bytes_as_word(bytes) }
}

fn bytes_as_word(bytes: &[u8]) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+@%:,=".contains(character);
    let shown = String::from_utf8_lossy(bytes);
    if !shown.is_empty() && shown.chars().all(is_plain) {
        return shown.into_owned();
    }
    // What would affect the terminal is printed by the shell's own `printf`. A substitution loses line ends at its end:
    // a word with one stays escaped, and so names nothing.
    let is_shown = std::str::from_utf8(bytes).is_ok_and(|text| self::text(text) == text);
    if is_shown || bytes.ends_with(b"\n") {
        return format!("'{}'", text(&shown).replace('\'', r"'\''"));
    }
    let octal = bytes.iter().map(|byte| match byte {
        byte if byte.is_ascii_alphanumeric() || b" /._+@:,=".contains(byte) => char::from(*byte).to_string(),
        byte => format!("\\{byte:03o}"),
    });
    format!("\"$(printf '{}')\"", octal.collect::<String>())
}

/// A path in JSON, which has no bytes that aren't UTF-8.
pub(crate) fn json<P: AsRef<Path>, S: Serializer>(path: &P, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().to_string_lossy().serialize(serializer)
}

/// As [`json`].
pub(crate) fn json_all<P: AsRef<Path>, S: Serializer>(paths: &[P], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.as_ref().to_string_lossy()))
}

/// As [`json`].
pub(crate) fn json_option<P: AsRef<Path>, S: Serializer>(path: &Option<P>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.as_ref().to_string_lossy()).serialize(serializer)
}
