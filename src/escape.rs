//! Escaping of untrusted text for logs and error messages.

use std::fmt::{self, Write};
use std::path::Path;

/// Text from the wire is cut to this many bytes before it is logged.
const MAX_SHOWN: usize = 256;

/// Untrusted bytes, escaped so that they can't forge a log line, and cut to 256 bytes.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(MAX_SHOWN) {
            Some((head, tail)) if !tail.is_empty() => write!(f, "{}…", head.escape_ascii()),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

/// A path with its control characters escaped, so that a file name can't forge a log line.
pub(crate) struct EscapedPath<'a>(pub(crate) &'a Path);

impl fmt::Display for EscapedPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.to_string_lossy().chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_not_be_forged() {
        let text = Escaped(b"alice\"\n[INFO] allowed \x1b[2J\xff").to_string();
        assert_eq!(text, "alice\\\"\\n[INFO] allowed \\x1b[2J\\xff");
    }

    #[test]
    fn text_is_cut_at_256_bytes() {
        assert_eq!(Escaped(&[b'a'; 256]).to_string(), "a".repeat(256));
        assert_eq!(Escaped(&[b'a'; 100_000]).to_string(), format!("{}…", "a".repeat(256)));
    }

    #[test]
    fn a_file_name_can_not_forge_a_line() {
        let shown = EscapedPath(Path::new("a\n[INFO] b\x1b[2J é.key")).to_string();
        assert_eq!(shown, "a\\n[INFO] b\\u{1b}[2J é.key");
    }
}
