//! Text that looks like the hash of a password. As a clear password, it would accept anybody who has seen the file.

/// Whether text is marked as a hash. Leading signs and blanks are ignored. Marks are
/// - `$name$`, as in crypt(3) and in PHC strings,
/// - `{scheme}`, as in LDAP and Dovecot,
/// - the name of an algorithm followed by a `$` or `:`, in text without blanks, as in Django, Werkzeug, PostgreSQL,
/// - anywhere in the text, one of [`UNMISTAKABLE`].
pub(super) fn is_marked(text: &[u8]) -> bool {
    let core = core(text);
    is_crypt(core) || is_scheme(core) || is_algorithm(core) || contains_unmistakable(text)
}

/// Whether text consists of exactly as many hexadecimal digits as an MD5 or SHA digest, after an optional `md5`
/// (PostgreSQL) or `*` (MySQL). The base64 of a digest, and the 13 characters of DES crypt, can't be told from a password.
pub(super) fn is_digest(text: &[u8]) -> bool {
    let core = core(text);
    let end = core.iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |last| last + 1);
    let core = core.get(..end).unwrap_or_default();
    let digits = core.strip_prefix(b"md5").unwrap_or(core);
    [core, digits]
        .iter()
        .any(|text| matches!(text.len(), 32 | 40 | 56 | 64 | 96 | 128) && text.iter().all(u8::is_ascii_hexdigit))
}

/// Whether a user name contains a hash, so that it doesn't end where it was meant to: `alice:$argon2id$v` in
/// `alice:$argon2id$v=19$…`.
pub(super) fn swallowed_a_hash(name: &[u8]) -> bool {
    let is_delimiter =
        |byte: &u8| matches!(byte, b':' | b';' | b',' | b'|' | b'"' | b'\'') || byte.is_ascii_whitespace();
    let behind = |(at, _): (usize, &u8)| name.get(at + 1..).unwrap_or_default();
    let mut parts = name.iter().enumerate().filter(|(_, byte)| is_delimiter(byte)).map(behind);
    is_marked(name) || parts.any(is_marked)
}

/// The text without leading signs and blanks.
fn core(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'{'));
    start.and_then(|start| text.get(start..)).unwrap_or_default()
}

fn is_crypt(core: &[u8]) -> bool {
    let Some(rest) = core.strip_prefix(b"$") else { return false };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_,=".contains(byte);
    is_word_before(rest, b'$', is_name)
}

fn is_scheme(core: &[u8]) -> bool {
    let Some(rest) = core.strip_prefix(b"{") else { return false };
    is_word_before(rest, b'}', |byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte))
}

/// Whether a word of 1 to 32 such bytes precedes `end`.
fn is_word_before(text: &[u8], end: u8, is_part: impl Fn(&u8) -> bool) -> bool {
    let length = text.iter().position(|&byte| byte == end).unwrap_or_default();
    (1..=32).contains(&length) && text.iter().take(length).all(is_part)
}

fn is_algorithm(core: &[u8]) -> bool {
    const FAMILIES: [&str; 6] = ["argon2", "bcrypt", "scrypt", "yescrypt", "pbkdf2", "scram"];
    const NAMES: [&str; 8] = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "ssha", "crypt"];
    let Some(end) = core.iter().position(|byte| matches!(byte, b'$' | b':')) else { return false };
    if core.trim_ascii_end().iter().any(u8::is_ascii_whitespace) {
        return false;
    }
    let word = core.iter().take(end).filter(|byte| !matches!(byte, b'-' | b'_'));
    let word: Vec<u8> = word.map(u8::to_ascii_lowercase).collect();
    FAMILIES.iter().any(|family| word.starts_with(family.as_bytes()))
        || NAMES.iter().any(|name| word == name.as_bytes())
}

/// Marks that no password contains by chance.
const UNMISTAKABLE: [&[u8]; 9] =
    [b"$argon2", b"$pbkdf2", b"$scrypt$", b"$bcrypt", b"$2a$", b"$2b$", b"$2x$", b"$2y$", b"$apr1$"];

fn contains_unmistakable(text: &[u8]) -> bool {
    let begins_with =
        |rest: &[u8], mark: &[u8]| rest.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark));
    let mut dollars = text.iter().enumerate().filter(|(_, byte)| **byte == b'$');
    dollars.any(|(at, _)| {
        let rest = text.get(at..).unwrap_or_default();
        UNMISTAKABLE.iter().any(|mark| begins_with(rest, mark))
    })
}
