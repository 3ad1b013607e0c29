//! Files that are not certificates: the error names the file and the line, and never quotes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zmq_auth::{Certificate, Error, load_certificate, load_certificates};

use crate::{OTHER, PUBLIC, SECRET};

/// Loads with a deadline: otherwise a load that never returns would hang the test.
fn load(file: &Path) -> Result<Certificate, Error> {
    let (sender, receiver) = mpsc::channel();
    let path = file.to_owned();
    thread::spawn(move || sender.send(Certificate::load(path)));
    receiver.recv_timeout(Duration::from_secs(10)).expect("loading ends")
}

#[test]
fn the_error_of_a_bad_line_names_file_and_line_and_never_quotes_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.key");
    let good = format!("    public-key = \"{PUBLIC}\"\n");
    for (text, expected) in [
        (String::new(), None),
        ("metadata\ncurve\n".into(), None),
        (format!("curve\n    secret-key = \"{SECRET}\"\n"), None),
        ("curve\n    public-key = \"short\"\n".into(), Some(2)),
        (format!("curve\n    public-key = \"{PUBLIC}{PUBLIC}\"\n"), Some(2)),
        (format!("curve\r\n    public-key = \"{}~\"\r\n", &PUBLIC[1..]), Some(2)),
        (format!("curve\n    public-key = \"{}\"\n", "#".repeat(40)), Some(2)),
        ("curve\n    public-key\n".into(), Some(2)),
        (format!("curve\n{good}    secret-key = \"{}\"\n", &SECRET[1..]), Some(3)),
        (format!("curve\n{good}    public-key = \"{OTHER}\"\n"), Some(3)),
        (format!("curve\n{good}    secret-key = \"{SECRET}\"\n    secret-key = \"{OTHER}\"\n"), Some(4)),
        (format!("curve\n{good}metadata\n    a = 1\n    a = 2\n"), Some(5)),
        (format!("curve\n{good}metadata\n    = 1\n"), Some(4)),
    ] {
        fs::write(&file, &text).unwrap();
        for error in
            [load(&file).unwrap_err(), load_certificate(&file).unwrap_err(), load_certificates(&dir).unwrap_err()]
        {
            let shown = format!("{error} {error:?}");
            assert!(
                !shown.contains("short") && !shown.contains(&SECRET[1..9]) && !shown.contains(&PUBLIC[1..9]),
                "{shown}"
            );
            let place = match expected {
                Some(line) => format!("{}:{line}: ", file.display()),
                None => format!("{}: ", file.display()),
            };
            assert!(error.to_string().starts_with(&place), "{error}, not {place}");
            let Error::Certificate { path, line, .. } = error else { panic!("{error:?}") };
            assert_eq!((path, line), (file.clone(), expected), "{text}");
        }
    }
}

#[test]
fn the_error_of_metadata_that_is_not_text_names_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.key");
    let key = format!("curve\n    public-key = \"{PUBLIC}\"\n");
    fs::write(&file, [b"metadata\n    a = b\n    c = \xFF\n", key.as_bytes()].concat()).unwrap();
    assert!(matches!(load(&file), Err(Error::Certificate { line: Some(3), .. })));
}

#[test]
fn a_path_that_is_not_a_regular_file_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.key");
    let refused = |what: &str| {
        for error in [load(&file).unwrap_err(), load_certificates(&dir).unwrap_err()] {
            assert!(
                matches!(&error, Error::Certificate { path, line: None, .. } if *path == file),
                "{what}: {error:?}"
            );
        }
        if file.is_dir() { fs::remove_dir(&file) } else { fs::remove_file(&file) }.unwrap();
    };
    fs::create_dir(&file).unwrap();
    refused("a directory");
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    refused("a FIFO");
    let _listener = UnixListener::bind(&file).unwrap();
    refused("a socket");
    symlink("/dev/zero", &file).unwrap();
    refused("a device");
}

#[test]
fn a_file_over_64_kib_is_refused_without_reading_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.key");
    let key = format!("public-key = {PUBLIC}\n");
    // The key comes first: only what follows is too much.
    for size in [64 * 1024 + 1, 1 << 40] {
        fs::write(&file, &key).unwrap();
        File::options().write(true).open(&file).unwrap().set_len(size).unwrap();
        assert!(matches!(load(&file), Err(Error::Certificate { line: None, .. })), "{size} bytes");
    }
}

#[test]
fn a_missing_file_is_an_io_error_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let dangling = dir.path().join("dangling.key");
    symlink(&missing, &dangling).unwrap();
    let not_found = |error: Error, expected: &PathBuf| {
        let Error::Io { path, source, .. } = error else { panic!("{error:?}") };
        assert_eq!((&path, source.kind()), (expected, io::ErrorKind::NotFound));
    };
    not_found(load(&missing).unwrap_err(), &missing);
    not_found(load_certificates(&missing).unwrap_err(), &missing);
    not_found(load_certificates(&dir).unwrap_err(), &dangling);
    fs::write(&missing, "").unwrap();
    assert!(matches!(load_certificates(&missing), Err(Error::Io { path, .. }) if path == missing), "not a directory");
}

#[test]
fn with_several_bad_files_the_error_names_the_first() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("good.key"), format!("public-key = {PUBLIC}\n")).unwrap();
    // Created in another order than that of their names.
    for name in ["m.key", "z.key", "h.key", "c.key", "t.key", "n.key"] {
        fs::write(dir.path().join(name), "").unwrap();
        let Err(Error::Certificate { path, .. }) = load_certificates(&dir) else { panic!("{name} was taken") };
        let first = super::names(dir.path()).into_iter().find(|name| name != "good.key").unwrap();
        assert_eq!(path, dir.path().join(first));
    }
}

#[test]
fn no_content_makes_it_panic() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.key");
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for length in 0..500 {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            })
            .collect();
        fs::write(&file, bytes).unwrap();
        load(&file).unwrap_err();
    }
}
