//! The check that metadata will be read back equal, before it is written.
//!
//! pyzmq, czmq and JeroMQ don't escape: a quote, a line break or a name that looks like a key line would change what
//! another program reads, including the keys.

use super::MAX_FILE;
use super::parse::{COMMENT, PUBLIC_KEY, SECRET_KEY, equals_known, parse};
use crate::error::Result;
use crate::metadata::{Metadata, refused};

/// Reserved for everything but metadata: header and keys take less than half of it.
const OTHER_LINES: usize = 1024;
/// What a metadata line has besides name and value: four blanks, ` = `, two quotes, a line feed.
const LINE: usize = 4 + 3 + 2 + 1;
/// Including the line feed.
const MAX_LINE: usize = 1024;

/// The quotes to try, in this order: pyzmq writes none.
pub(super) const AS_PYZMQ: [&str; 3] = ["", "\"", "'"];
/// The order for czmq, which writes quotes.
pub(super) const AS_CZMQ: [&str; 3] = ["\"", "'", ""];

/// Checks that czmq, JeroMQ and this crate read the name and the value back equal, and returns the quote to write around the
/// value, which may be empty. Both orders accept the same metadata.
pub(super) fn check(name: &str, value: &str, quotes: [&'static str; 3]) -> Result<&'static str> {
    check_name(name)?;
    check_value(name, value)?;
    quotes
        .into_iter()
        .find(|quote| reads_elsewhere(value, quote) && reads_back(name, value, quote))
        .ok_or_else(|| refused(name, "a value with both kinds of quotes can't contain a # or start with a quote"))
}

/// Whether czmq and JeroMQ read the value back: they end an unquoted value at a `#`, a quoted one at the next such quote.
fn reads_elsewhere(value: &str, quote: &str) -> bool {
    match quote {
        "" => !value.starts_with(['"', '\'']) && !value.contains(COMMENT),
        quote => !value.contains(quote),
    }
}

/// Refuses a file that would be too large to load; the error names `name`.
pub(super) fn check_size(name: &str, metadata: &Metadata) -> Result<()> {
    let lines: usize = metadata.iter().map(|(name, value)| LINE + name.len() + value.len()).sum();
    if lines > MAX_FILE - OTHER_LINES {
        return Err(refused(name, "would make the file larger than 64 KiB, the maximum"));
    }
    Ok(())
}

/// As [`check_size`], for metadata that came from a file.
pub(super) fn check_total(metadata: &Metadata) -> Result<()> {
    metadata.iter().last().map_or(Ok(()), |(last, _)| check_size(last, metadata))
}

/// Checks for a ZPL name (RFC 4). JeroMQ ignores lines that start with a digit.
fn check_name(name: &str) -> Result<()> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "$-_@.&+/".contains(character);
    let known = equals_known(name.as_bytes());
    let problem = if name.starts_with(PUBLIC_KEY) || name.starts_with(SECRET_KEY) {
        "a name can't start with public-key or secret-key: every reader would read it as a key line"
    } else if known.is_some() && known != Some(name) {
        "too similar to not-before, not-after, public-key or secret-key: correct it, or choose another name"
    } else if name.starts_with(COMMENT) {
        "a name can't start with #: every reader would read it as a comment"
    } else if name.is_empty() || !name.chars().all(is_part) {
        "a name has only ASCII letters, digits and $-_@.&+/: czmq and JeroMQ can't load a file with others"
    } else if name.starts_with(|first: char| first.is_ascii_digit()) {
        "a name can't start with a digit: JeroMQ would ignore it"
    } else if name.starts_with('/') || name.ends_with('/') {
        "a name can't have a / at either end: czmq couldn't load the file"
    } else {
        return Ok(());
    };
    Err(refused(name, problem))
}

fn check_value(name: &str, value: &str) -> Result<()> {
    let problem =
        if value.contains(|character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')) {
            "line breaks and other control characters can't be stored"
        } else if value.trim() != value {
            "a value can't have blanks at either end: JeroMQ would read it back without them"
        } else if LINE + name.len() + value.len() > MAX_LINE {
            "a line has at most 1,024 bytes: czmq would cut it there"
        } else {
            return Ok(());
        };
    Err(refused(name, problem))
}

fn reads_back(name: &str, value: &str, quote: &str) -> bool {
    let key = "0".repeat(40);
    let file = format!("metadata\n    {name} = {quote}{value}{quote}\ncurve\n    public-key = \"{key}\"\n");
    match parse(file.as_bytes()) {
        Ok(read) => read.key_pair().is_none() && read.metadata().iter().eq([(name, value)]),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn metadata_that_a_reader_would_misread_is_refused() {
        for name in [
            "",
            "public-key",
            "public-key2",
            "secret-key",
            "secret-keys",
            "#",
            "# name",
            "a=b",
            "=",
            " a",
            "a ",
            "a\nb",
            "a\r",
            "\u{a0}a",
            "a\0",
        ] {
            assert!(check(name, "x", AS_PYZMQ).is_err(), "{name:?}");
        }
        for value in ["a\nb", "a\n    public-key = \"x\"", "a\r\nb", "a\0", "a\u{85}b", "a\u{1b}b"] {
            assert!(check("a", value, AS_CZMQ).is_err(), "{value:?}");
        }
    }

    #[test]
    fn the_error_says_why() {
        for (name, value, why) in [
            ("public-key", "x", "as a key line"),
            ("secret-key", "x", "as a key line"),
            ("#a", "x", "as a comment"),
            ("a=b", "x", "ASCII letters"),
            ("a ", "x", "ASCII letters"),
            ("1a", "x", "a digit"),
            ("/a", "x", "a /"),
            ("Not-After", "x", "too similar"),
            ("a", &"x".repeat(1_100), "1,024"),
            ("a", "x\n", "line breaks"),
            ("a", " x", "at either end"),
            ("a", "'x' \"y\"", "both kinds"),
        ] {
            let Err(Error::Metadata { name: told, problem }) = check(name, value, AS_PYZMQ) else { panic!("{name:?}") };
            assert!(told == name && problem.contains(why), "{name:?} = {value:?}: {problem}");
        }
    }

    #[test]
    fn each_form_has_its_quotes() {
        for (value, pyzmq, czmq) in [
            ("", "", "\""),
            ("a", "", "\""),
            ("a\"b", "", "'"),
            ("it's", "", "\""),
            ("it's \"a\"", "", ""),
            ("\"a\"", "'", "'"),
            ("'a'", "\"", "\""),
            ("a # b", "\"", "\""),
            ("say \"a\" # b", "'", "'"),
            ("a = b", "", "\""),
        ] {
            let found = (check("a", value, AS_PYZMQ).unwrap(), check("a", value, AS_CZMQ).unwrap());
            assert_eq!(found, (pyzmq, czmq), "{value:?}");
        }
        for value in [" a", "a ", "\u{a0}a", "\"a\" # it's", "it's \"a\" # b", "'\""] {
            assert!(check("a", value, AS_PYZMQ).is_err() && check("a", value, AS_CZMQ).is_err(), "{value:?}");
        }
    }

    #[test]
    fn the_size_of_a_file_is_bounded() {
        let mut metadata = Metadata::default();
        metadata.insert("a", "x".repeat(MAX_FILE - OTHER_LINES - LINE - 1)).unwrap();
        check_size("a", &metadata).unwrap();
        metadata.insert("b", "").unwrap();
        assert!(matches!(check_size("b", &metadata), Err(Error::Metadata { name, .. }) if name == "b"));
        assert!(check_total(&metadata).is_err());
    }
    #[test]
    fn each_byte_of_each_line_counts() {
        let line = |name: &str, value: &str| format!("    {name} = \"{value}\"\n").len();
        let mut metadata = Metadata::default();
        let mut left = MAX_FILE - OTHER_LINES;
        for number in 0..2000 {
            let (name, value) = (format!("name {number}"), "v".repeat(number % 7));
            left -= line(&name, &value);
            metadata.insert(name, value).unwrap();
        }
        let last = "v".repeat(left - line("a", ""));
        metadata.insert("a", last.clone()).unwrap();
        check_size("a", &metadata).unwrap();
        metadata.insert("a", last + "v").unwrap();
        assert!(check_size("a", &metadata).is_err());
    }
}
