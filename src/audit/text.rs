//! What came from the wire, as it may be written down.

use std::fmt;

use crate::zap::{Subject, Who};

/// Text from the wire is cut to this many bytes before it is logged.
const CUT: usize = 256;

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mechanism, domain) = (Cut(&self.mechanism), Cut(&self.domain));
        write!(f, "{mechanism} in domain \"{domain}\" from {}", Cut(&self.address))?;
        match &self.who {
            Who::Nobody => Ok(()),
            Who::User(name) => write!(f, ", user \"{}\"", Cut(name)),
            Who::Key(key) => write!(f, ", key {key}"),
            Who::Principal(name) => write!(f, ", principal \"{}\"", Cut(name)),
        }
    }
}

/// Bytes from the wire as they may stand in a log: escaped, so that no line can be forged, and cut.
pub(crate) struct Cut<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_at_checked(CUT) {
            Some((head, tail)) if !tail.is_empty() => write!(f, "{}…", head.escape_ascii()),
            _ => write!(f, "{}", self.0.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_can_not_be_forged() {
        let text = Cut(b"alice\"\n[INFO] allowed \x1b[2J\xff").to_string();
        assert_eq!(text, "alice\\\"\\n[INFO] allowed \\x1b[2J\\xff");
    }

    #[test]
    fn text_is_cut_at_256_bytes() {
        assert_eq!(Cut(&[b'a'; 256]).to_string(), "a".repeat(256));
        assert_eq!(Cut(&[b'a'; 100_000]).to_string(), format!("{}…", "a".repeat(256)));
    }
}
