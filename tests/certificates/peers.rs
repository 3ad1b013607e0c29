//! czmq's and JeroMQ's readers, reimplemented here from their sources, read back equal what is written.

use std::fs;

use zmq_auth::Certificate;

/// Names and values below `metadata`, and the keys below `curve`.
type Read = Option<Vec<(String, String)>>;

/// czmq's `zconfig_chunk_load`: the whole file or nothing.
fn czmq(file: &[u8]) -> Read {
    let is_space = |byte: &u8| matches!(byte, b' ' | 9..=13);
    let (mut read, mut section) = (Vec::new(), String::new());
    for line in file.split(|&byte| byte == b'\n') {
        let mut line = &line[..line.len().min(1024)];
        while line.last().is_some_and(is_space) {
            line = &line[..line.len() - 1];
        }
        let indent = line.iter().take_while(|byte| **byte == b' ').count();
        if indent % 4 != 0 {
            return None;
        }
        let rest = &line[indent..];
        let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || b"$-_@.&+/".contains(byte);
        let length = rest.iter().take_while(is_name).count();
        let (name, rest) = rest.split_at(length);
        let is_end = |rest: &[u8]| rest.trim_ascii_start().first().is_none_or(|byte| *byte == b'#');
        if name.is_empty() {
            if !is_end(rest) {
                return None;
            }
            continue;
        }
        if name.starts_with(b"/") || name.ends_with(b"/") {
            return None;
        }
        let value = match rest.trim_ascii_start().strip_prefix(b"=") {
            None if !is_end(rest) => return None,
            None => &[][..],
            Some(value) => {
                let value = value.trim_ascii_start();
                match value.first() {
                    Some(quote @ (b'"' | b'\'')) => {
                        let end = 1 + value[1..].iter().position(|byte| byte == quote)?;
                        if !is_end(&value[end + 1..]) {
                            return None;
                        }
                        &value[1..end]
                    }
                    _ => value.split(|byte| *byte == b'#').next().unwrap().trim_ascii_end(),
                }
            }
        };
        let (name, value) = (String::from_utf8(name.to_vec()).unwrap(), String::from_utf8(value.to_vec()).ok()?);
        match indent / 4 {
            0 => section = name,
            1 => read.push((format!("{section}/{name}"), value)),
            _ => return None,
        }
    }
    Some(read)
}

/// JeroMQ's `ZConfig.load`: lines that match `NAME = VALUE` with one blank on both sides, trimmed values.
fn jeromq(file: &[u8]) -> Read {
    let text = std::str::from_utf8(file).ok()?;
    let (mut read, mut section) = (Vec::new(), String::new());
    for line in text.lines().flat_map(|line| line.split('\r')) {
        let content = line.trim_start_matches(' ');
        let trim = |text: &str| text.trim_matches(|character| character <= ' ').to_owned();
        if content.starts_with('#') || content.starts_with(|c: char| c.is_ascii_digit()) || trim(line).is_empty() {
            continue;
        }
        if line.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
            return None;
        }
        let is_name = |character: char| character.is_ascii_alphanumeric() || "$-_@.&+/".contains(character);
        let end = content.find(|character| !is_name(character)).unwrap_or(content.len());
        let (name, rest) = content.split_at(end);
        if name.is_empty() {
            return None;
        }
        if rest.is_empty() || rest.trim_start_matches(' ').starts_with('#') {
            section = name.to_owned();
            continue;
        }
        let value = rest.strip_prefix(" = ")?;
        // Quoted, up to the last quote that ends the line or precedes a comment.
        let quoted = value.chars().next().filter(|quote| "\"'".contains(*quote)).and_then(|quote| {
            let ends = value.match_indices(quote).map(|(at, _)| at).filter(|at| *at > 0);
            let mut ends = ends.filter(|at| value[at + 1..].is_empty() || value[at + 1..].starts_with('#'));
            ends.next_back().map(|end| &value[1..end])
        });
        let value = quoted.unwrap_or_else(|| value.split('#').next().unwrap());
        read.push((format!("{section}/{name}"), trim(value)));
    }
    Some(read)
}

/// Returns which reader reads something else in either file; nothing if the metadata is refused.
fn misreadings(name: &str, value: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let Ok(certificate) = Certificate::generate().unwrap().with_metadata(name, value) else { return Vec::new() };
    let (_, secret) = certificate.save_pair(&dir, "x").unwrap();
    let public = dir.path().join("y.key");
    certificate.save_public(&public).unwrap();
    let mut wrong = Vec::new();
    for file in [secret, public] {
        let bytes = fs::read(&file).unwrap();
        let mut wanted = vec![
            (format!("metadata/{name}"), value.to_owned()),
            ("curve/public-key".to_owned(), certificate.public_key().to_string()),
        ];
        if file.extension().is_some_and(|extension| extension == "key_secret") {
            wanted.push(("curve/secret-key".to_owned(), certificate.key_pair().unwrap().secret.to_z85().to_string()));
        }
        for (peer, read) in [("czmq", czmq(&bytes)), ("JeroMQ", jeromq(&bytes))] {
            if read.as_ref() != Some(&wanted) {
                let read = read.as_ref().map(|read| read.first());
                wrong.push(format!("{name:?} = {value:?}: {peer} reads {read:?} of {:?}", file.extension()));
            }
        }
    }
    wrong
}

#[test]
fn accepted_metadata_is_read_back_equal_by_czmq_and_jeromq() {
    let names = [
        "name",
        "full name",
        "e-mail",
        "ünï",
        "a/b",
        "/a",
        "a/",
        "a.b@c&d+e$_",
        "2fa",
        "a:b",
        "a\"b",
        "a#b",
        "(a)",
        "x",
    ];
    let long = "v".repeat(1_020);
    let values = [
        "",
        "Alice",
        "\"Alice\" Smith",
        "Alice \"x\" Smith",
        "a # b",
        "#1",
        "it's",
        "'tis",
        "it's \"both\"",
        "\"it's",
        "it's \"both\" # 1",
        "'a' and \"b\"",
        "a = b",
        "ünïcödé 鍵",
        "a\u{2028}b",
        "\"",
        "'",
        "a\\",
        &long,
        "  ",
        " a",
        "a\"",
        "\"a",
        "a'#",
    ];
    let mut wrong = Vec::new();
    for name in names {
        wrong.extend(misreadings(name, "x"));
    }
    for value in values {
        wrong.extend(misreadings("name", value));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_their_readers_understand_is_taken_and_keeps_pyzmqs_bytes() {
    let dir = tempfile::tempdir().unwrap();
    for (number, (value, written)) in [
        ("Alice", "Alice"),
        ("Al \"x\" Smith", "Al \"x\" Smith"),
        ("it's \"both\"", "it's \"both\""),
        ("", ""),
        ("\"Alice\" Smith", "'\"Alice\" Smith'"),
        ("a # b", "\"a # b\""),
        ("say \"friend\" # and enter", "'say \"friend\" # and enter'"),
    ]
    .into_iter()
    .enumerate()
    {
        let certificate = Certificate::generate().unwrap().with_metadata("name", value).unwrap();
        let (_, secret) = certificate.save_pair(&dir, &number.to_string()).unwrap();
        assert_eq!(Certificate::load(&secret).unwrap(), certificate);
        let text = fs::read_to_string(secret).unwrap();
        assert!(text.contains(&format!("metadata\n    name = {written}\ncurve\n")), "{text}");
    }
    for (name, value) in [("full name", "x"), ("2fa", "x"), ("name", "it's \"both\" # 1"), ("name", "'a' and \"b\"")] {
        assert!(Certificate::generate().unwrap().with_metadata(name, value).is_err(), "{name} = {value}");
    }
}
