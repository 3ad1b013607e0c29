//! The check that metadata will be read back equal before it is written.
//!
//! Neither pyzmq nor czmq escapes anything: a quote, a line break or a name like a key line would change what another
//! program reads, keys included.

use super::MAX_FILE;
use super::parse::{COMMENT, PUBLIC_KEY, SECRET_KEY, parse};
use crate::error::Result;
use crate::metadata::{Metadata, refused};

/// Kept free for everything that isn't metadata: header and keys take less than half of it.
const OTHER_LINES: usize = 1024;
/// What a metadata line has besides name and value: four blanks, ` = `, two quotes, a line feed.
const LINE: usize = 4 + 3 + 2 + 1;

/// For a value that is written unquoted, as pyzmq does. What passes here passes [`check_quoted`] too, which falls back to
/// this form.
pub(super) fn check_plain(name: &str, value: &str) -> Result<()> {
    check_text(name, value)?;
    if value.trim() != value {
        return Err(refused(name, "pyzmq's form can't hold a value with blanks at either end"));
    }
    if !reads_back(name, value, "") {
        return Err(refused(name, "pyzmq's form can't hold a value in quotes: it would be read back without them"));
    }
    Ok(())
}

/// For a value that is quoted as czmq does; answers the quote to write, which is none for a value with quotes of both
/// kinds.
pub(super) fn check_quoted(name: &str, value: &str) -> Result<&'static str> {
    check_text(name, value)?;
    ["\"", "'", ""]
        .into_iter()
        .find(|quote| reads_back(name, value, quote))
        .ok_or_else(|| refused(name, "a value with quotes of both kinds, one at its start, couldn't be read back"))
}

/// A file that couldn't be loaded is not written. `name` is to blame.
pub(super) fn check_size(name: &str, metadata: &Metadata) -> Result<()> {
    let lines: usize = metadata.iter().map(|(name, value)| LINE + name.len() + value.len()).sum();
    if lines > MAX_FILE - OTHER_LINES {
        return Err(refused(name, "with it, the file would be larger than 64 KiB, the most that is read"));
    }
    Ok(())
}

/// As [`check_size`], for metadata that came from a file.
pub(super) fn check_total(metadata: &Metadata) -> Result<()> {
    metadata.iter().last().map_or(Ok(()), |(last, _)| check_size(last, metadata))
}

/// What no form can hold.
fn check_text(name: &str, value: &str) -> Result<()> {
    let problem = if name.starts_with(PUBLIC_KEY) || name.starts_with(SECRET_KEY) {
        "a name can't start with public-key or secret-key: every reader would take the line for a key"
    } else if name.starts_with(COMMENT) {
        "a name can't start with #: every reader would take the line for a comment"
    } else if name.contains('=') {
        "a name can't have a =: it would end there"
    } else if name.trim() != name {
        "a name can't have blanks at either end: they would be lost"
    } else if name.contains(char::is_control) || value.contains(char::is_control) {
        "line breaks and other control characters can't be stored"
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
    fn what_a_reader_would_take_for_something_else_is_refused() {
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
            assert!(check_plain(name, "x").is_err(), "{name:?}");
            assert!(check_quoted(name, "x").is_err(), "{name:?}");
        }
        for value in ["a\nb", "a\n    public-key = \"x\"", "a\r\nb", "a\0", "a\u{85}b", "a\u{1b}b"] {
            assert!(check_plain("a", value).is_err(), "{value:?}");
            assert!(check_quoted("a", value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn the_error_says_why() {
        for (name, value, why) in [
            ("public-key", "x", "for a key"),
            ("secret-key", "x", "for a key"),
            ("#a", "x", "for a comment"),
            ("a=b", "x", "a ="),
            ("a ", "x", "at either end"),
            ("a", "x\n", "line breaks"),
            ("a", " x", "at either end"),
            ("a", "'x'", "in quotes"),
        ] {
            let Err(Error::Metadata { name: told, problem }) = check_plain(name, value) else { panic!("{name:?}") };
            assert!(told == name && problem.contains(why), "{name:?} = {value:?}: {problem}");
        }
    }

    #[test]
    fn each_form_holds_what_it_can() {
        for value in [" a", "a ", "\u{a0}a", "\"a\"", "'a'", "\"\"", "\"a\" # b", "'a'#"] {
            assert!(check_plain("a", value).is_err(), "{value:?}");
            assert!(check_quoted("a", value).is_ok(), "{value:?}");
        }
        for value in ["", "a", "\"", "'", "a\"b", "\"a", "a\"", "a # b", "#a", "a = b", "=", "it's \"a\"", "public-key"]
        {
            check_plain("a", value).unwrap();
            check_quoted("a", value).unwrap();
        }
        assert!(check_quoted("a", "\"a\" # it's").is_err());
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
