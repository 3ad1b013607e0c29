//! Text from files and arguments, with its control characters escaped before it is printed.

use std::path::Path;

/// The text with its control characters escaped: it can't move the cursor or begin a line of its own.
pub(crate) fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// As [`text`]; bytes that are no UTF-8 become U+FFFD.
pub(crate) fn path(path: &Path) -> String {
    text(&path.to_string_lossy())
}
