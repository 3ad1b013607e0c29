//! Lines that nearly say when a certificate is valid, or nearly are key lines: an error with its line, never ignored.

use std::fs;

use zmq_auth::{Certificate, Error, KeyDirectory, load_certificates};

use crate::PUBLIC;

const TIME: &str = "\"2020-01-01T00:00:00Z\"";

#[test]
fn a_name_that_equals_a_known_one_but_for_case_signs_or_place_is_an_error_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alice.key");
    let key = format!("curve\n    public-key = \"{PUBLIC}\"\n");
    let mut taken = Vec::new();
    let inside = [
        "Not-After",
        "not_after",
        "NOT-BEFORE",
        "notAfter",
        "Not_Before",
        "not after",
        "not--after",
        "-not-after",
        "not\u{2010}after",
        "\"not-after\"",
        "Public-Key",
        "public_key",
        "PublicKey",
        "secret_key",
        "SECRET-KEY",
    ];
    let mut cases: Vec<(String, usize)> =
        inside.iter().map(|name| (format!("metadata\n    name = \"x\"\n    {name} = {TIME}\n{key}"), 3)).collect();
    for name in ["not-after", "not-before", "Not-After"] {
        cases.extend([
            (format!("{name} = {TIME}\nmetadata\n{key}"), 1),
            (format!("metadata\n{key}    {name} = {TIME}\n"), 4),
            (format!("Metadata\n    {name} = {TIME}\n{key}"), 2),
            (format!("    metadata\n    {name} = {TIME}\n{key}"), 2),
            (format!("metadata:\n    {name} = {TIME}\n{key}"), 2),
            (format!("metadata\n{name} = {TIME}\n{key}"), 2),
            // Without a =, in the right place.
            (format!("metadata\n    {name}: {TIME}\n{key}"), 2),
            (format!("metadata\n    {name} {TIME}\n{key}"), 2),
            (format!("metadata\n    {name}\n{key}"), 2),
        ]);
    }
    cases.extend([
        (format!("{key}    Secret-Key = \"x\"\n"), 3),
        (format!("Public_Key = \"{PUBLIC}\"\n{key}"), 1),
        (format!("{key}secret_key\n"), 3),
        ("curve\n    Public-Key = \"x\"\n".to_owned(), 2),
    ]);
    for (text, wanted) in cases {
        fs::write(&file, &text).unwrap();
        let loaded =
            [Certificate::load(&file).map(drop), KeyDirectory::open(&dir).map(drop), load_certificates(&dir).map(drop)];
        for result in loaded {
            match result {
                Ok(()) => taken.push(text.clone()),
                Err(Error::Certificate { path, line, .. }) => {
                    assert_eq!((path, line), (file.clone(), Some(wanted)), "{text}")
                }
                Err(other) => panic!("{text}: {other}"),
            }
        }
    }
    assert!(taken.is_empty(), "{} are taken, such as {:#?}", taken.len(), &taken[..taken.len().min(20)]);
}

#[test]
fn other_names_and_files_of_others_are_still_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alice.key");
    for text in [
        format!(
            "# not-after = 2020\nmetadata\n    #Not-After = 1\n    not-afterwards = \"x\"\n    name = \"not-after\"\n    notes = \"not-after = 1\"\n    x = \"Public-Key\"\ncurve\n    public-key = \"{PUBLIC}\"\n"
        ),
        format!("metadata\n    not-after = {TIME}\n    not-before = {TIME}\ncurve\n    public-key = \"{PUBLIC}\"\n"),
        format!("metadata\n\tnot-after={TIME}\r\ncurve\r\n\tpublic-key-of-mine = \"{PUBLIC}\"\r\n"),
    ] {
        fs::write(&file, &text).unwrap();
        Certificate::load(&file).unwrap_or_else(|error| panic!("{text}: {error}"));
        KeyDirectory::open(&dir).unwrap();
    }
}

#[test]
fn such_a_name_cannot_be_set_either() {
    for name in ["Not-After", "not_after", "notBefore", "Public-Key", "public_key", "SECRET-KEY", "publickey"] {
        let set = Certificate::from(PUBLIC.parse::<zmq_auth::PublicKey>().unwrap()).with_metadata(name, "x");
        assert!(matches!(set, Err(Error::Metadata { .. })), "{name}");
    }
}
