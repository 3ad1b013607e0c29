//! What loading says in the log, and what it never says.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, Once};

use log::{Level, LevelFilter, Log, Record};
use zmq_auth::{Certificate, create_certificates, load_certificate, load_certificates};

use crate::{OTHER, PUBLIC, SECRET};

struct Capture(Mutex<Vec<(Level, String, String)>>);

static CAPTURE: Capture = Capture(Mutex::new(Vec::new()));

impl Log for Capture {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        let entry = (record.level(), record.target().to_string(), record.args().to_string());
        self.0.lock().unwrap().push(entry);
    }

    fn flush(&self) {}
}

/// What was logged about a file while `act` ran. Tests run beside each other: each has files of its own.
fn logged(file: &Path, act: impl FnOnce()) -> Vec<(Level, String, String)> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        log::set_logger(&CAPTURE).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    let about = |entries: &[(Level, String, String)]| -> Vec<_> {
        entries.iter().filter(|(_, _, text)| text.contains(&format!("{file:?}"))).cloned().collect()
    };
    let before = about(&CAPTURE.0.lock().unwrap()).len();
    act();
    about(&CAPTURE.0.lock().unwrap()).split_off(before)
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
            let [(Level::Warn, target, text)] = &entries[..] else { panic!("{mode:o}: {entries:?}") };
            assert_eq!(target, "zmq_auth");
            assert!(text.contains(&format!("{mode:o}")) && text.contains("chmod 600"), "{text}");
        }
    }
    // A public file is for everyone.
    fs::set_permissions(&public, Permissions::from_mode(0o644)).unwrap();
    assert_eq!(logged(&public, || drop(load_certificates(&dir).unwrap())), []);
}

#[test]
fn a_pair_that_is_none_is_warned_about_and_no_key_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mixed.key");
    fs::write(&file, format!("curve\n    public-key = \"{OTHER}\"\n    secret-key = \"{SECRET}\"\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    for load in [
        |file: &Path| drop(Certificate::load(file).unwrap()),
        |file: &Path| drop(load_certificates(file.parent().unwrap()).unwrap()),
    ] {
        let entries = logged(&file, || load(&file));
        // Among public ones, that it is secret is said too.
        let Some((Level::Warn, target, text)) = entries.last() else { panic!("{entries:?}") };
        assert_eq!(target, "zmq_auth");
        assert!(text.contains("not a pair"), "{text}");
    }
    fs::write(&file, format!("curve\n    public-key = \"{PUBLIC}\"\n    secret-key = \"{SECRET}\"\n")).unwrap();
    assert_eq!(logged(&file, || drop(Certificate::load(&file).unwrap())), []);
    for (_, _, text) in CAPTURE.0.lock().unwrap().iter() {
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_file_name_cannot_forge_a_line_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x\nWARN forged.key");
    fs::write(&file, format!("public-key = {PUBLIC}\nsecret-key = {SECRET}\n")).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let entries = logged(&file, || drop(Certificate::load(&file).unwrap()));
    assert!(entries.len() == 1 && !entries[0].2.contains('\n'), "{entries:?}");
}
