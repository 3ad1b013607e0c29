//! Log records of loading: warnings, and never a secret.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use log::Level;
use zmq_auth::{Certificate, create_certificates, load_certificate, load_certificates};

use crate::harness::log::{Record, records, secret};
use crate::{OTHER, PUBLIC, SECRET};

/// The records about a file that were logged while `act` ran. (Tests run concurrently, each with its own files.)
fn logged(file: &Path, act: impl FnOnce()) -> Vec<(Level, String)> {
    let name = format!("{file:?}");
    let about = || records(|record: &Record| record.text.contains(&name));
    let before = about().len();
    act();
    about().into_iter().skip(before).map(|record| (record.level, record.text)).collect()
}

#[test]
fn a_secret_file_that_others_can_read_is_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let (public, secret) = create_certificates(&dir, "x").unwrap();
    assert_eq!(logged(&secret, || drop(Certificate::load(&secret).unwrap())), []);
    for mode in [0o640, 0o604, 0o644, 0o620, 0o601] {
        fs::set_permissions(&secret, Permissions::from_mode(mode)).unwrap();
        for load in
            [|file: &Path| drop(Certificate::load(file).unwrap()), |file: &Path| drop(load_certificate(file).unwrap())]
        {
            let entries = logged(&secret, || load(&secret));
            let [(Level::Warn, text)] = &entries[..] else { panic!("{mode:o}: {entries:?}") };
            assert!(text.contains(&format!("{mode:o}")) && text.contains("chmod 600"), "{text}");
        }
    }
    // A public file is meant to be readable.
    fs::set_permissions(&public, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(logged(&public, || drop(load_certificates(&dir).unwrap())), []);
}

#[test]
fn keys_that_are_not_a_pair_are_warned_about_and_not_logged() {
    // From here on, a record that contains it ends the process.
    secret(SECRET);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mixed.key");
    fs::write(&file, format!("curve\n    public-key = \"{OTHER}\"\n    secret-key = \"{SECRET}\"\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    for load in [
        |file: &Path| drop(Certificate::load(file).unwrap()),
        |file: &Path| drop(load_certificates(file.parent().unwrap()).unwrap()),
    ] {
        let entries = logged(&file, || load(&file));
        // In a directory of public files, there is also a warning that it is secret.
        let Some((Level::Warn, text)) = entries.last() else { panic!("{entries:?}") };
        assert!(text.contains("not a pair"), "{text}");
    }
    fs::write(&file, format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\"\n")).unwrap();
    assert_eq!(logged(&file, || drop(Certificate::load(&file).unwrap())), []);
}

#[test]
fn a_file_name_cannot_forge_a_line_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x\nWARN forged.key");
    fs::write(&file, format!("public-key = {PUBLIC}\nsecret-key = {SECRET}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let entries = logged(&file, || drop(Certificate::load(&file).unwrap()));
    assert!(entries.len() == 1 && !entries[0].1.contains('\n'), "{entries:?}");
}
