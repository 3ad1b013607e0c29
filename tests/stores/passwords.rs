//! Password files: their lines, errors and reloads.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use zmq_auth::{Authenticator, Error, EventKind, PasswordFile, ReloadSummary};

use crate::files::{LOG, Store, all};
use crate::harness::{domain, log, zap};

pub(crate) struct Users {
    pub(crate) _dir: TempDir,
    pub(crate) file: PathBuf,
    pub(crate) passwords: PasswordFile,
    pub(crate) auth: Authenticator,
    pub(crate) domain: String,
}

impl Users {
    pub(crate) fn of(content: impl AsRef<[u8]>) -> Self {
        let (dir, domain) = (tempfile::tempdir().unwrap(), domain("users"));
        let file = dir.path().join("passwords");
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let (passwords, auth) = (PasswordFile::open(&file).unwrap(), Authenticator::new());
        auth.configure_plain_file(&domain, &passwords).unwrap();
        Users { _dir: dir, file, passwords, auth, domain }
    }

    pub(crate) fn status(&self, user: &str, password: impl AsRef<[u8]>) -> u16 {
        zap::plain(&self.auth, &self.domain, user.as_bytes(), password.as_ref())
    }

    /// Added, changed, removed.
    pub(crate) fn reload(&self) -> (usize, usize, usize) {
        let ReloadSummary { added, changed, removed, .. } = self.passwords.reload().unwrap();
        (added, changed, removed)
    }
}

fn open_error(content: impl AsRef<[u8]>) -> Error {
    log::install();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, content).unwrap();
    PasswordFile::open(&file).unwrap_err()
}

#[test]
fn lines_as_czmq_reads_them() {
    let secret = log::password("1");
    let users = Users::of(
        [
            format!("\u{feff}alice={secret}\n# bob=commented out\n\n   \t\r\ncarol=a=b==\r\nd e = blanks \n")
                .as_bytes(),
            "érna=ü\n$=$\ncash=$money\nlatin=\u{1}".as_bytes(),
            b"\xFF\nlast=no line feed",
        ]
        .concat(),
    );
    for (user, password) in [
        ("alice", secret.as_bytes()),
        ("carol", b"a=b=="),
        ("d e ", b" blanks "),
        ("érna", "ü".as_bytes()),
        ("$", b"$"),
        ("cash", b"$money"),
        ("latin", b"\x01\xFF"),
        ("last", b"no line feed"),
    ] {
        assert_eq!(users.status(user, password), 200, "{user}");
        assert_eq!(users.status(user, [password, b" "].concat()), 400, "{user}");
        assert_eq!(users.status(user, &password[1..]), 400, "{user}");
    }
    assert_eq!(users.status("bob", "commented out"), 400);
    assert_eq!(users.status("# bob", "commented out"), 400);
    assert_eq!((users.status("d e", " blanks "), users.status("ALICE", secret)), (400, 400));
}

#[test]
fn each_error_names_the_file_and_the_line_and_never_the_content() {
    let (secret, long) = (log::password("in a bad file"), "x".repeat(256));
    let cases: Vec<(Vec<u8>, usize)> = vec![
        (format!("alice={secret}\n{secret}\n").into(), 2),
        (format!("={secret}\n").into(), 1),
        (format!("a=1\n\n# x\nalice={secret}\nalice={secret}\n").into(), 5),
        (format!("{long}={secret}").into(), 1),
        (format!("alice={long}{secret}").into(), 1),
        ("alice=".into(), 1),
        (format!("\0={secret}").into(), 1),
        ([b"\xFF=", secret.as_bytes()].concat(), 1),
        (format!("a=1\r\nalice=$2b$12${secret}").into(), 2),
        (format!("alice=$6${secret}").into(), 1),
        (format!("alice=$argon2i$v=19$m=8,t=1,p=1${secret}").into(), 1),
        (format!("alice=$argon2d$v=19$m=8,t=1,p=1${secret}").into(), 1),
        (format!("alice=$pbkdf2-sha256$i=1${secret}").into(), 1),
        (format!("alice=$argon2id${secret}").into(), 1),
        ("alice=$a$".into(), 1),
    ];
    for (content, wanted) in cases {
        let shown = String::from_utf8_lossy(&content).into_owned();
        let error = open_error(&content);
        let text = format!("{error} {error:?}");
        assert!(!text.contains(&secret) && !text.contains(&long), "{text}");
        match error {
            Error::PasswordFile { line, .. } => assert_eq!(line, Some(wanted), "{shown:?}"),
            other => panic!("{shown:?}: {other:?}"),
        }
    }
}

#[test]
fn the_longest_name_and_password() {
    let (name, password) = ("n".repeat(255), "p".repeat(255));
    let users = Users::of(format!("{name}={password}"));
    assert_eq!(users.status(&name, &password), 200);
    assert_eq!(users.status(&name, &password[1..]), 400);
}

#[test]
fn a_path_that_is_not_a_file_or_too_large_is_refused() {
    log::install();
    let dir = tempfile::tempdir().unwrap();
    let no_line = |error| matches!(error, Error::PasswordFile { line: None, .. });
    assert!(no_line(PasswordFile::open(&dir).unwrap_err()));
    let fifo = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert!(no_line(PasswordFile::open(fifo).unwrap_err()));
    assert!(matches!(PasswordFile::open(dir.path().join("none")), Err(Error::Io { .. })));
    let large = dir.path().join("large");
    let limit = 16 * 1024 * 1024;
    fs::write(&large, vec![b'\n'; limit + 1]).unwrap();
    assert!(no_line(PasswordFile::open(&large).unwrap_err()));
    fs::write(&large, vec![b'\n'; limit]).unwrap();
    assert_eq!(PasswordFile::open(&large).unwrap().status().entries, 0);
}

#[test]
fn a_mode_that_lets_others_read_is_warned_about_once() {
    let _log = LOG.write();
    let users = Users::of("alice=secret\n");
    let warnings = |file: &Path| {
        let file = format!("{file:?}");
        log::records(|record| record.level == ::log::Level::Warn && record.text.contains(&file))
    };
    assert_eq!(warnings(&users.file).len(), 0);
    for (mode, count) in [(0o640, 1), (0o644, 2), (0o600, 2), (0o602, 3)] {
        fs::set_permissions(&users.file, Permissions::from_mode(mode)).unwrap();
        users.reload();
        users.reload();
        let warnings = warnings(&users.file);
        assert_eq!(warnings.len(), count, "{mode:o}");
        assert!(mode == 0o600 || warnings.last().unwrap().text.contains(&format!("{mode:o}")));
        assert!(warnings.iter().all(|record| record.text.contains("chmod 600")));
    }
}

#[test]
fn a_reload_applies_all_changes_and_a_bad_file_none() {
    let users = Users::of("alice=one\nbob=two\n");
    fs::write(&users.file, "bob=three\ncarol=four\n").unwrap();
    assert_eq!(users.status("alice", "one"), 200);
    assert_eq!(users.reload(), (1, 1, 1));
    let statuses = || {
        [("alice", "one"), ("bob", "two"), ("bob", "three"), ("carol", "four")]
            .map(|(user, word)| users.status(user, word))
    };
    assert_eq!(statuses(), [400, 400, 200, 200]);

    for bad in ["bob=three\nbob=four\n", "bob", "carol=$1$x$y"] {
        fs::write(&users.file, bad).unwrap();
        for _ in 0..2 {
            assert!(matches!(users.passwords.reload(), Err(Error::PasswordFile { .. })), "{bad}");
        }
        assert_eq!(statuses(), [400, 400, 200, 200]);
        assert_eq!(users.passwords.status().problems.len(), 1);
    }
    fs::remove_file(&users.file).unwrap();
    assert!(matches!(users.passwords.reload(), Err(Error::Io { .. })));
    assert_eq!(statuses(), [400, 400, 200, 200]);
    fs::write(&users.file, "").unwrap();
    assert_eq!(users.reload(), (0, 0, 2));
    assert_eq!(statuses(), [400; 4]);
    let status = users.passwords.status();
    assert_eq!((status.entries, status.problems.len()), (0, 0));
}

#[test]
fn a_file_that_is_the_same_is_not_read() {
    let users = Users::of("alice=one\n");
    assert_eq!(users.passwords.reload().unwrap().read, 1, "young");
    crate::harness::wait_until("the file is old", || users.passwords.reload().unwrap().read == 0);
    assert_eq!(users.status("alice", "one"), 200);
    crate::files::replace(&users.file, "alice=one\n");
    let reload = users.passwords.reload().unwrap();
    assert_eq!((reload.read, reload.changed), (1, 0));
}

#[test]
fn reloads_are_published() {
    let store = Store::of(|_| {});
    let path = store.path("passwords");
    fs::write(&path, "alice=zanzibar 1\n").unwrap();
    let passwords = PasswordFile::open(&path).unwrap();
    store.auth.configure_plain_file(&store.domain, &passwords).unwrap();
    let events = store.auth.events(100);
    fs::write(&path, "alice=zanzibar 2\nbob=zanzibar 3\n").unwrap();
    passwords.reload().unwrap();
    fs::write(&path, "alice=zanzibar 2\nbob\n").unwrap();
    passwords.reload().unwrap_err();
    let told: Vec<_> = all(&events).into_iter().map(|event| (event.kind, event.reason)).collect();
    let path = path.display();
    assert_eq!(told[0], (EventKind::Reloaded, format!("{path}: 1 users added, 1 changed, 0 removed")));
    assert!(told[1].0 == EventKind::ReloadFailed && told[1].1.starts_with(&format!("{path}:2: ")), "{told:?}");
    assert_eq!(told.len(), 2);
}

#[cfg(not(feature = "argon2"))]
#[test]
fn a_hashed_password_says_which_feature_it_needs() {
    let error =
        open_error("a=1\nalice=$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc");
    assert!(matches!(error, Error::PasswordFile { line: Some(2), .. }));
    assert!(error.to_string().contains("feature `argon2`"), "{error}");
}
