//! Metadata in certificates: what is stored is read back equal, and what couldn't be is refused.

use std::fs;

use zmq_auth::{Certificate, Error};

use crate::{PUBLIC, names};

#[test]
fn values_with_quotes_marks_and_blanks_read_back_equal_from_both_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut certificate = Certificate::generate().unwrap();
    for (number, value) in [
        "plain",
        "",
        "two words",
        "say \"friend\"",
        "it's",
        "it's \"both\"",
        "\"",
        "'",
        "a # b",
        "# a",
        "a = b",
        "=",
        "ünïcödé 鍵",
        "C:\\keys\\",
        "public-key",
        "    ",
        "secret-key = x",
        "\"a\"",
        "'a'",
        "\"a\" # b",
        "%d {0} $x",
        "\u{1F511}",
    ]
    .into_iter()
    .filter(|value| value.trim() == *value)
    .enumerate()
    {
        certificate = certificate.with_metadata(format!("name-{number}"), value).unwrap();
        assert_eq!(certificate.metadata().get(&format!("name-{number}")), Some(value));
    }
    let (_, secret) = certificate.save_pair(&dir, "x").unwrap();
    assert_eq!(Certificate::load(secret).unwrap(), certificate);
    let public = dir.path().join("public.key");
    certificate.save_public(&public).unwrap();
    assert_eq!(Certificate::load(public).unwrap().metadata(), certificate.metadata());
}

#[test]
fn metadata_that_could_not_be_read_back_is_refused_and_changes_nothing() {
    let certificate = Certificate::generate().unwrap().with_metadata("a", "b").unwrap();
    let long = "n".repeat(256);
    for (name, value) in [
        ("", "x"),
        (&*long, "x"),
        ("public-key", "x"),
        ("public-key-2", "x"),
        ("secret-key", "x"),
        ("#", "x"),
        ("#a", "x"),
        ("a=b", "x"),
        (" a", "x"),
        ("a ", "x"),
        ("a\tb", "x"),
        ("a\nb", "x"),
        ("a\r", "x"),
        ("a\0", "x"),
        ("x", " a"),
        ("x", "a "),
        ("x", "a\n"),
        ("x", "a\nsecret-key = y"),
        ("x", "a\rb"),
        ("x", "a\0b"),
        ("x", "a\tb"),
        ("x y", "x"),
        ("é", "x"),
        ("1x", "x"),
        ("x/", "x"),
        ("x", "'a' \"b\""),
        ("x", "it's \"a\" # b"),
        ("x", &*"a".repeat(1_024)),
        ("x", "\u{2003}a"),
    ] {
        let Err(Error::Metadata { name: told, .. }) = certificate.clone().with_metadata(name, value) else {
            panic!("{name:?} = {value:?} was taken")
        };
        assert!(told.len() <= 256);
    }
    let too_much = "x".repeat(64 * 1024);
    assert!(matches!(certificate.with_metadata("x", too_much), Err(Error::Metadata { .. })));
}

#[test]
fn set_twice_and_unset() {
    let certificate = Certificate::generate().unwrap();
    let set = certificate.clone().with_metadata("a", "1").unwrap().with_metadata("b", "2").unwrap();
    let again = set.clone().with_metadata("a", "3").unwrap();
    assert_eq!(again.metadata().iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
    assert_ne!(set, again);
    assert_eq!(again.without_metadata("a").without_metadata("none").without_metadata("b"), certificate);
}

#[test]
fn names_that_libzmq_reserves_are_stored() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.key");
    Certificate::generate().unwrap().with_metadata("User-Id", "alice").unwrap().save_public(&file).unwrap();
    assert_eq!(Certificate::load(file).unwrap().metadata().get("User-Id"), Some("alice"));
}

#[test]
fn the_largest_metadata_that_is_taken_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut largest = Certificate::generate().unwrap();
    let mut size = 0;
    // Lines of the maximum length, then shorter ones.
    for length in [1_000, 100, 10, 1] {
        for number in 0.. {
            let name = format!("a{length}-{number}");
            match largest.clone().with_metadata(&name, "x".repeat(length)) {
                Ok(larger) => (largest, size) = (larger, size + name.len() + length),
                Err(_) => break,
            }
        }
    }
    assert!(size > 60_000, "{size}");
    let (_, secret) = largest.save_pair(&dir, "x").unwrap();
    assert_eq!(Certificate::load(secret).unwrap(), largest);
    largest.save_public(dir.path().join("y.key")).unwrap();
    assert_eq!(Certificate::load(dir.path().join("y.key")).unwrap().metadata(), largest.metadata());
}

#[test]
fn loaded_metadata_is_not_written_in_a_form_that_cannot_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.key_secret");
    let certificate = Certificate::generate().unwrap();
    let pair = certificate.key_pair().unwrap();
    let text = format!(
        "metadata\n    a = \" blanks \"\ncurve\n    public-key = \"{}\"\n    secret-key = \"{}\"\n",
        pair.public,
        pair.secret.to_z85().as_str()
    );
    fs::write(&file, text).unwrap();
    let loaded = Certificate::load(&file).unwrap();
    assert_eq!(loaded.metadata().get("a"), Some(" blanks "));
    assert!(matches!(loaded.save_pair(&dir, "y"), Err(Error::Metadata { name, .. }) if name == "a"));
    assert_eq!(names(dir.path()), ["x.key_secret"]);
    // JeroMQ strips them, quoted or not.
    let public = dir.path().join("z.key");
    assert!(matches!(loaded.save_public(public), Err(Error::Metadata { name, .. }) if name == "a"));
}

#[test]
fn many_names_in_a_file_are_not_slow() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.key");
    let lines: String = (0..6000).map(|number| format!(" {number:x}=\n")).collect();
    fs::write(&file, format!("metadata\n{lines}curve\n public-key={PUBLIC}\n")).unwrap();
    // CPU time, because the machine may be busy with other tests.
    #[cfg(target_os = "linux")]
    let now = crate::harness::system::thread_cpu_time;
    #[cfg(not(target_os = "linux"))]
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap();
    let start = now();
    assert_eq!(Certificate::load(file).unwrap().metadata().len(), 6000);
    let took = now() - start;
    assert!(took.as_secs() < 5, "{took:?}");
}
