//! Certificates that other programs and editors write, and directories of them.

use std::fs;
use std::os::unix::fs::symlink;

use zmq_auth::{Certificate, KeyPair, load_certificate, load_certificates};

use crate::{OTHER, PUBLIC, SECRET};

fn pair() -> KeyPair {
    KeyPair { public: PUBLIC.parse().unwrap(), secret: SECRET.parse().unwrap() }
}

/// The layout of czmq's two files, `NAME` and `NAME_secret`: metadata in both, quoted.
fn czmq(secret: bool) -> String {
    let head = "#   ****  Generated on 2026-02-03 04:05:06 by CZMQ  ****\n#   ZeroMQ CURVE Certificate\n\n";
    let secret = if secret { format!("    secret-key = \"{SECRET}\"\n") } else { String::new() };
    format!(
        "{head}metadata\n    name = \"Alice Example\"\n    email = \"alice@example.com\"\ncurve\n    \
         public-key = \"{PUBLIC}\"\n{secret}"
    )
}

#[test]
fn both_files_of_czmq() {
    let dir = tempfile::tempdir().unwrap();
    for secret in [false, true] {
        let file = dir.path().join(if secret { "alice_secret" } else { "alice" });
        fs::write(&file, czmq(secret)).unwrap();
        let certificate = Certificate::load(&file).unwrap();
        assert_eq!(certificate.public_key(), pair().public);
        assert_eq!(certificate.key_pair(), secret.then(pair).as_ref());
        let metadata: Vec<_> = certificate.metadata().iter().collect();
        assert_eq!(metadata, [("name", "Alice Example"), ("email", "alice@example.com")]);
    }
}

#[test]
fn line_ends_and_marks_of_every_editor() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.key_secret");
    let unix = czmq(true);
    fs::write(&file, &unix).unwrap();
    let expected = Certificate::load(&file).unwrap();
    for text in [
        unix.replace('\n', "\r\n"),
        unix.trim_end().to_string(),
        unix.replace('\n', "\r\n").trim_end().to_string(),
        format!("\u{feff}{unix}"),
        unix.replace("    ", "\t"),
        unix.replace('"', "'"),
        unix.replace('"', ""),
        unix.replace('\n', "\n\n  \n# ein Kommentar\n"),
        format!("{unix}\n\n"),
    ] {
        fs::write(&file, &text).unwrap();
        assert_eq!(Certificate::load(&file).unwrap(), expected, "{text:?}");
        assert_eq!(load_certificate(&file).unwrap(), (pair().public, Some(pair().secret)));
    }
    // Latin-1, in a comment.
    fs::write(&file, [b"# Schl\xFCssel\n", unix.as_bytes()].concat()).unwrap();
    assert_eq!(Certificate::load(&file).unwrap(), expected);
}

#[test]
fn only_key_files_of_the_directory_itself() {
    let dir = tempfile::tempdir().unwrap();
    let key = |public: &str| format!("curve\n    public-key = \"{public}\"\n");
    fs::create_dir(dir.path().join("below")).unwrap();
    for name in [".hidden.key", ".key", "x.key_secret", "x.KEY", "x.key.bak", "key", "x.txt", "below/x.key"] {
        fs::write(dir.path().join(name), "this would be an error").unwrap();
    }
    assert!(load_certificates(&dir).unwrap().is_empty());

    fs::write(dir.path().join("a.key"), key(PUBLIC)).unwrap();
    fs::write(dir.path().join("b c.key"), key(PUBLIC)).unwrap();
    assert_eq!(load_certificates(&dir).unwrap(), [pair().public].into(), "two files with one key are one key");

    let linked = dir.path().join("below/linked");
    fs::write(&linked, key(OTHER)).unwrap();
    symlink(linked, dir.path().join("link.key")).unwrap();
    assert_eq!(load_certificates(&dir).unwrap(), [pair().public, OTHER.parse().unwrap()].into());
}

#[test]
fn file_names_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(OsStr::from_bytes(b"\xFF\xFE.key"));
    fs::write(&file, czmq(false)).unwrap();
    assert_eq!(load_certificates(&dir).unwrap().len(), 1);
    fs::write(&file, "").unwrap();
    load_certificates(&dir).unwrap_err();
}

#[test]
fn a_file_of_exactly_64_kib_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.key");
    let mut text = czmq(false);
    text.insert_str(0, &format!("#{}\n", "x".repeat(64 * 1024 - text.len() - 2)));
    assert_eq!(text.len(), 64 * 1024);
    fs::write(&file, &text).unwrap();
    assert_eq!(Certificate::load(&file).unwrap().public_key(), pair().public);
}

#[test]
fn content_from_elsewhere_is_read_as_a_file_is() {
    let certificate = Certificate::generate().unwrap().with_metadata("name", "Alice").unwrap();
    let text = certificate.secret_text().unwrap();
    assert_eq!(Certificate::parse(text.as_bytes(), "x").unwrap(), certificate);
    let large = format!("{}{}", text.as_str(), "#".repeat(64 * 1024));
    for (content, line, what) in
        [("", None, "no public-key line"), ("\npublic-key", Some(2), "without a ="), (&large, None, "64 KiB")]
    {
        match Certificate::parse(content.as_bytes(), "a row") {
            Err(zmq_auth::Error::Certificate { path, line: found, problem }) => {
                assert_eq!((path.to_str(), found), (Some("a row"), line));
                assert!(problem.contains(what), "{problem}");
            }
            other => panic!("{other:?}"),
        }
    }
}
