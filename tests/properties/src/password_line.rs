//! One line of a password file: is it a clear password?

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use zmq_auth::{Authenticator, PasswordFile};

use super::disk;
use super::model::passwords::{Password, looks_hashed, read};

/// The bytes up to the first line feed as the only line.
pub fn holds(bytes: &[u8]) {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    disk::with_file("line", |path| {
        fs::write(path, [line, b"\n"].concat()).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        let (file, model) = (PasswordFile::open(path), read(line));
        let Ok(file) = file else {
            let is_hashed = model.iter().flatten().any(|(_, password)| matches!(password, Password::Hashed(_)));
            assert!(model.is_none() || is_hashed, "the line is an error");
            return;
        };
        let users = model.expect("a line with an error isn't taken");
        assert_eq!(file.status().entries, users.len());
        if let [(user, Password::Clear(password))] = &users[..] {
            assert!(!looks_hashed(password) && !looks_hashed(user), "a hash is the password itself");
            let auth = Authenticator::new();
            auth.configure_plain_file("d", &file).unwrap();
            let request = [b"1.0", &b"1"[..], b"d", b"127.0.0.1", b"", b"PLAIN", user, password];
            assert_eq!(auth.handle_zap_message(&request).unwrap()[2], b"200");
        }
    });
}
