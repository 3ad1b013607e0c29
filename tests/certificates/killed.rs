//! SIGKILL in the middle of saving: each file is completely the old or the new one, and nobody else can read the secret ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use zmq_auth::{Certificate, KeyPair};

use crate::harness::log;
use crate::harness::process::is_child;
use crate::harness::worker::{Worker, report};

const DIR: &str = "ZMQ_AUTH_TEST_DIR";
const KILLS: u32 = 200;
/// For a pair: a new file each, and a second name for the old secret file.
const LEFT_OF_A_PAIR: usize = 3;
const LEFT_OF_ONE_FILE: usize = 1;

#[test]
fn killed_while_replacing_a_pair() {
    if is_child() {
        let (dir, new) = (dir(), certificate());
        report("saving");
        loop {
            new.replace_pair(&dir, "server").unwrap();
        }
    }
    let most = kill_again_and_again("killed::killed_while_replacing_a_pair", LEFT_OF_A_PAIR, |dir| {
        let secret = Certificate::load(dir.join("server.key_secret")).expect("a whole secret file");
        assert_eq!(secret.metadata().get("motto-1").map(str::len), Some(1_000));
        let pair = secret.key_pair().expect("with its secret key");
        assert_eq!(KeyPair::from_secret(pair.secret.clone()).unwrap().public, pair.public, "the halves of one pair");
        let public = Certificate::load(dir.join("server.key")).expect("a whole public file");
        assert!(public.key_pair().is_none());
    });
    assert!(most > 0, "it was never killed while it saved");
}

#[test]
fn killed_while_saving_one_file() {
    if is_child() {
        let (dir, file) = (dir(), dir().join("alice.key"));
        let new = certificate();
        report("saving");
        loop {
            new.save_public(&file).unwrap();
            fs::rename(&file, dir.join("last.key")).unwrap();
        }
    }
    let most = kill_again_and_again("killed::killed_while_saving_one_file", LEFT_OF_ONE_FILE, |dir| {
        for name in ["alice.key", "last.key"] {
            match Certificate::load(dir.join(name)) {
                Ok(whole) => assert_eq!(whole.metadata().get("motto-1").map(str::len), Some(1_000)),
                Err(zmq_auth::Error::Io { source, .. }) => assert_eq!(source.kind(), std::io::ErrorKind::NotFound),
                Err(error) => panic!("{error}"),
            }
        }
        let _ = fs::remove_file(dir.join("alice.key"));
    });
    assert!(most > 0, "it was never killed while it saved");
}

fn dir() -> PathBuf {
    log::install();
    std::env::var_os(DIR).unwrap().into()
}

fn certificate() -> Certificate {
    (0..2).fold(Certificate::generate().unwrap(), |all, number| {
        all.with_metadata(format!("motto-{number}"), "x".repeat(1_000)).unwrap()
    })
}

/// Kills a child that saves, at a different moment each time; returns the maximum number of files left behind.
fn kill_again_and_again(name: &str, left_at_most: usize, check: impl Fn(&Path)) -> usize {
    let dir = tempfile::tempdir().unwrap();
    certificate().save_pair(&dir, "server").unwrap();
    let mut left = [0; 4];
    for round in 0..KILLS {
        let mut child = Worker::start(name, &[(DIR, dir.path().to_str().unwrap())]);
        assert_eq!(child.receive(), "saving");
        // Any moment will do; one save takes less than these.
        thread::park_timeout(Duration::from_micros(u64::from(round * 7919 % 4000)));
        child.kill();
        check(dir.path());
        let temporary = clean_up(dir.path());
        assert!(temporary <= left_at_most, "{temporary} temporary files after one kill");
        left[temporary] += 1;
    }
    println!("{KILLS} kills; so many left 0, 1, 2, 3 temporary files: {left:?}");
    left.iter().rposition(|&times| times > 0).unwrap_or(0)
}

/// Removes the temporary files, and returns their number. Only the owner may read a file with a secret key.
fn clean_up(dir: &Path) -> usize {
    let mut temporary = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        let holds_secret = fs::read_to_string(&path).unwrap().contains("secret-key");
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert!(!holds_secret || mode == 0o600, "{name} has mode {mode:o}");
        assert_eq!(
            name == "server.key_secret" || name.starts_with('.'),
            holds_secret || name.starts_with('.'),
            "{name}"
        );
        // `*.key` doesn't match them, so loading the directory never reads half a file.
        if name.starts_with('.') {
            fs::remove_file(path).unwrap();
            temporary += 1;
        } else {
            assert!(["server.key", "server.key_secret", "alice.key", "last.key"].contains(&&*name), "{name}");
        }
    }
    temporary
}
