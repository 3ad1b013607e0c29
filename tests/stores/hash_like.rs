//! Text that looks like a hash is either a hash that can be checked or an error, never a clear password.

use std::fs;

use zmq_auth::{Authenticator, Error, PasswordFile};

use crate::harness::{domain, log, zap};

/// A hash of which nothing may be quoted.
const HASH: &str = "AbCdEfGhIjKlMnOpQrStUv";

fn open(line: &str) -> Result<PasswordFile, Error> {
    log::install();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, format!("# users\n{line}\n")).unwrap();
    PasswordFile::open(&file)
}

#[test]
fn a_line_that_looks_hashed_is_an_error_with_its_line_whatever_stands_around_the_hash() {
    let argon2 = format!("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0${HASH}{HASH}");
    let hashes = [
        argon2.clone(),
        format!("$2y$05${HASH}"),
        format!("$6$salt${HASH}"),
        format!("$6$rounds=5000$salt${HASH}"),
        format!("$1$salt${HASH}"),
        format!("$apr1$salt${HASH}"),
        format!("$y$j9T$salt${HASH}"),
        format!("$pbkdf2-sha256$29000$salt${HASH}"),
        format!("{{SHA}}{HASH}"),
        format!("{{SSHA}}{HASH}=="),
        format!("{{ARGON2ID}}{argon2}"),
        format!("pbkdf2_sha256$260000$salt${HASH}"),
        format!("scrypt:32768:8:1$salt${HASH}"),
        format!("SCRAM-SHA-256$4096:salt${HASH}:{HASH}"),
        format!("argon2{argon2}"),
        "5f4dcc3b5aa765d61d8327deb882cf99".to_owned(),
        "md55f4dcc3b5aa765d61d8327deb882cf99".to_owned(),
        "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19".to_owned(),
        "5BAA61E4C9B93F3F0682250B6CF8331B7EE68FD8".to_owned(),
        "0123456789abcdef".repeat(4),
        "0123456789abcdef".repeat(8),
    ];
    let arounds = ["H", " H", "\tH", "  \"H\"", "'H'", "=H", " =H", ":H", "\u{a0}H", "`H`", "{CRYPT}H", "{x-y}  H"];
    let mut taken = Vec::new();
    for hash in &hashes {
        for around in arounds {
            let line = format!("alice={}", around.replace('H', hash));
            // One of them is a hash that can be checked.
            let is_checked = *hash == argon2 && around == "H" && cfg!(feature = "argon2");
            match open(&line) {
                Ok(_) if is_checked => {}
                Ok(_) => taken.push(line),
                Err(error) => {
                    assert!(!is_checked, "{error}");
                    assert!(!error.to_string().contains(HASH), "{error}");
                    assert!(matches!(error, Error::PasswordFile { line: Some(2), .. }), "{line}: {error:?}");
                }
            }
        }
    }
    assert!(taken.is_empty(), "{} are taken, such as {:#?}", taken.len(), &taken[..taken.len().min(20)]);
}

#[test]
fn a_name_that_swallowed_a_delimiter_and_a_hash_is_an_error_with_its_line() {
    let taken: Vec<_> = [
        format!("alice:$argon2id$v=19$m=8,t=1,p=1$salt${HASH}"),
        format!("alice $argon2id$v=19$m=8,t=1,p=1$salt${HASH}"),
        format!("$argon2id$v=19$m=8,t=1,p=1$salt${HASH}"),
        format!("alice:{{SHA}}{HASH}="),
        format!("alice:{{SHA}}{HASH}=="),
        format!("alice : {{SHA}}{HASH}=x"),
        format!("{{SSHA}}{HASH}=="),
        format!("alice:{HASH}=="),
        format!("alice:$2y$05${HASH}=1"),
        format!("alice:$6$rounds=5000$salt${HASH}"),
        format!("alice\t$5$rounds=5000$salt${HASH}"),
        format!("alice:\"$5$rounds=5000$salt${HASH}\""),
        format!("$5$rounds=5000$salt${HASH}"),
    ]
    .into_iter()
    .filter(|line| match open(line) {
        Ok(_) => true,
        Err(error) => {
            assert!(matches!(error, Error::PasswordFile { line: Some(2), .. }), "{line}: {error:?}");
            assert!(!error.to_string().contains(HASH), "{error}");
            false
        }
    })
    .collect();
    assert!(taken.is_empty(), "taken: {taken:#?}");
}

#[test]
fn passwords_that_only_resemble_a_hash_are_still_taken() {
    for (user, password) in [
        ("alice", "$money"),
        ("alice", "$"),
        ("alice", "a$b$c"),
        ("alice", "{"),
        ("alice", "}{"),
        ("alice", "a {b}"),
        ("alice", "{a b}"),
        ("alice", " \"quoted\""),
        ("alice", "sha1"),
        ("alice", "shadow$fax$"),
        ("alice", "md5 is broken"),
        ("alice", "0123456789abcdef"),
        ("alice", "0123456789abcdef0123456789abcdeg"),
        ("alice", "a=b=="),
        ("dom:alice", "secret"),
        ("CORP\\alice", "secret"),
        ("a$b", "secret"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "secret"),
        ("alice@example.org", "secret"),
    ] {
        let file = open(&format!("{user}={password}")).unwrap_or_else(|error| panic!("{user}={password}: {error}"));
        let (auth, domain) = (Authenticator::new(), domain("hash-like"));
        auth.configure_plain_file(&domain, &file).unwrap();
        assert_eq!(zap::plain(&auth, &domain, user.as_bytes(), password.as_bytes()), 200, "{user}={password}");
    }
}

#[test]
fn a_program_cannot_set_a_hash_as_a_clear_password_either() {
    let auth = Authenticator::new();
    for hash in ["$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA", " $2y$05$salt", "{SHA}aGFzaA=="] {
        let set = auth.configure_plain("d", [("alice", hash)]);
        assert!(matches!(set, Err(Error::PlainCredentials { what: "password", .. })), "{hash}: {set:?}");
    }
    auth.configure_plain("d", [("alice", "0123456789abcdef0123456789abcdef")]).unwrap();
}
