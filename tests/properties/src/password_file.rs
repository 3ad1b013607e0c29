//! Password files: what is read, and whom it accepts.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use zmq_auth::{Authenticator, PasswordFile};

use crate::disk;
use crate::model::passwords::{Password, read};

/// The bytes as a file.
pub fn holds(bytes: &[u8]) {
    let directory = disk::directory();
    let path = directory.path().join("passwords");
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let (file, model) = (PasswordFile::open(&path), read(bytes));
    let has_hashes = model.iter().flatten().any(|(_, password)| matches!(password, Password::Hashed(_)));
    let Ok(file) = file else {
        // Whether a hash can be used is another question.
        assert!(model.is_none() || has_hashes, "the file is an error");
        return;
    };
    let users = model.expect("a file with an error doesn't load");
    assert!(!has_hashes || cfg!(feature = "argon2"));
    assert_eq!(file.status().entries, users.len());
    // Hashed ones take their time: see tests/stores.
    if !has_hashes {
        opens_to_them_alone(&file, &users);
    }
}

fn opens_to_them_alone(file: &PasswordFile, users: &[(Vec<u8>, Password)]) {
    let auth = Authenticator::new();
    auth.configure_plain_file("d", file).unwrap();
    let status = |user: &[u8], password: &[u8]| {
        let request = [b"1.0", &b"1"[..], b"d", b"127.0.0.1", b"", b"PLAIN", user, password];
        let reply = auth.handle_zap_message(&request).unwrap();
        assert_eq!(reply[4], if reply[2] == b"200" { user } else { b"" });
        String::from_utf8(reply[2].clone()).unwrap()
    };
    for (n, (user, password)) in users.iter().enumerate() {
        let Password::Clear(password) = password else { continue };
        assert_eq!(status(user, password), "200");
        assert_eq!(status(user, &[password, &b"\0"[..]].concat()), "400");
        assert_eq!(status(user, &password[1..]), "400");
        assert_eq!(status(user, b""), "400");
        if let Some((_, Password::Clear(other))) = users.get(n + 1) {
            assert_eq!(status(user, other), if other == password { "200" } else { "400" });
        }
    }
    assert_eq!(status(b"", b""), "400");
    assert_eq!(status(b"# nobody", b"nothing"), if_there(users, b"# nobody", b"nothing"));
}

fn if_there(users: &[(Vec<u8>, Password)], user: &[u8], password: &[u8]) -> &'static str {
    let there = users.iter().any(|(name, held)| name == user && *held == Password::Clear(password.to_vec()));
    if there { "200" } else { "400" }
}
