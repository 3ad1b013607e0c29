//! Escaping of text from files and arguments, so that it can't affect a terminal or a shell.

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

/// A path as a word of a shell command.
pub(crate) fn shell(path: &Path) -> String {
    let word = self::path(path);
    let is_plain = |character: char| character.is_alphanumeric() || "/._-+@%:,".contains(character);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(is_plain) {
        return word;
    }
    // A word that begins with a dash would be read as an option.
    let front = if word.starts_with('-') { "./" } else { "" };
    format!("'{front}{}'", word.replace('\'', r"'\''"))
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
