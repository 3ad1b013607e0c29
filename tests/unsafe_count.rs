//! `unsafe` stands in one file of the library, and a further use of it is a decision: the figures below change with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The one file; its tests are compiled for tests alone.
const FILE: &str = "src/ffi.rs";
const ITS_TESTS: &str = "src/ffi_tests.rs";
/// What it has, by what follows the word. Change it deliberately: each use with its `// SAFETY:` line, and with a test
/// that `.ci/memcheck` runs.
const USES: [(&str, usize); 3] = [("extern", 1), ("impl", 2), ("{", 21)];

#[test]
fn unsafe_is_in_one_file_and_counted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    assert!(files.len() > 50, "the sources were not found: {files:?}");
    for path in files {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let found = uses(&text);
        if name == FILE {
            let expected: BTreeMap<_, _> = USES.map(|(kind, count)| (kind.to_owned(), count)).into();
            assert_eq!(found, expected, "{name}: if it is meant, change the figures in {}", file!());
        } else if name != ITS_TESTS {
            assert!(found.is_empty(), "{name}: `unsafe` belongs into {FILE}: {found:?}");
            assert!(!tokens(&text).contains(&"unsafe_code".into()), "{name}: a lint about `unsafe` is set");
        }
    }
}

#[test]
fn comments_and_text_do_not_count() {
    let counted = r####"
        // unsafe { } /* unsafe {
        /* unsafe { /* nested */ unsafe { } */
        /// unsafe impl
        let text = "unsafe { \" unsafe {"; let raw = r#"unsafe { " unsafe {"#; let bytes = br"unsafe {";
        let c = '"'; let escaped = '\''; fn f<'a>(x: &'a str) { unsafe /* why */ { } }
        unsafe_code; r"unsafe {"; unsafe impl Send for X {} unsafe fn g() {} unsafe
            extern "C" { }
    "####;
    let expected = [("extern", 1), ("fn", 1), ("impl", 1), ("{", 1)].map(|(kind, count)| (kind.to_owned(), count));
    assert_eq!(uses(counted), expected.into());
}

fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// How often `unsafe` is followed by what.
fn uses(text: &str) -> BTreeMap<String, usize> {
    let tokens = tokens(text);
    let mut uses = BTreeMap::new();
    for pair in tokens.windows(2).filter(|pair| pair[0] == "unsafe") {
        *uses.entry(pair[1].clone()).or_default() += 1;
    }
    uses
}

/// Words and single characters, without comments, blanks and quoted text.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
            // Otherwise it is a lifetime.
            quoted(rest, '\'')
        } else if is_word(first) {
            let length = rest.find(|other| !is_word(other)).unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let step = match text.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    at
}

/// `r"…"`, `br#"…"#` and so on, at the start of a word.
fn raw_string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let hashes = text[prefix.len()..].bytes().take_while(|byte| *byte == b'#').count();
    let start = prefix.len() + hashes + 1;
    if text.as_bytes().get(start - 1) != Some(&b'"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    Some(text[start..].find(&end).map_or(text.len(), |at| start + at + end.len()))
}

/// The length of a quotation with its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return at + 1;
        }
    }
    text.len()
}
